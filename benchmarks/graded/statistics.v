//// reference
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  wire [5:0] h = a > b ? a : b, l = a < b ? a : b;
  assign largest = h > c ? h : c, least = l < c ? l : c;
  assign sum = a + b + c;
  assign equal = a == b && b == c;
endmodule
//// stimulus
repeat (3000) begin a = $random; b = $random; c = $random % 3 ? $random : b; look; end
//// level: stub
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
endmodule
//// level: constants
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = 63, least = 0, sum = 80, equal = 0;
endmodule
//// level: echo of inputs
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = a, least = b, sum = c, equal = 0;
endmodule
//// level: the third input ignored in two outputs
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = a > b ? a : b, least = a < b ? a : b, sum = a + b + c, equal = a == b && b == c;
endmodule
//// level: the third input ignored in one output
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  wire [5:0] h = a > b ? a : b;
  assign largest = h > c ? h : c, least = a < b ? a : b, sum = a + b + c, equal = a == b && b == c;
endmodule
//// level: right
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = a >= b && a >= c ? a : b >= c ? b : c;
  assign least = a <= b && a <= c ? a : b <= c ? b : c;
  assign sum = {2'b0, a} + b + c, equal = largest == least;
endmodule
//// better: sum and equal right
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = 0, least = 0, sum = a + b + c, equal = a == b && b == c;
endmodule
//// worse: echo of inputs
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  assign largest = c, least = c, sum = c, equal = 0;
endmodule
//// better: right but for one misspelt name
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
  wire [5:0] high = a > b ? a : b, low = a < b ? a : b;
  assign largest = hihg > c ? high : c, least = low < c ? low : c, sum = a + b + c, equal = a == b && b == c;
endmodule
//// worse: stub
module top(input [5:0] a, input [5:0] b, input [5:0] c, output [5:0] largest, output [5:0] least, output [7:0] sum, output equal);
endmodule
