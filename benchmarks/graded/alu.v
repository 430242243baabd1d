//// reference
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b;
  always @* case (op) 2'd0: y = sum[7:0]; 2'd1: y = a - b; 2'd2: y = a & b; default: y = a ^ b; endcase
  assign carry = op == 0 & sum[8];
  assign zero = y == 0;
endmodule
//// stimulus
repeat (3000) begin a = $random; b = $random; op = $random; look; end
repeat (300) begin a = $random; b = a; op = $random; look; end
//// level: stub
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
endmodule
//// level: constants
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  assign carry = 0, zero = 0;
  initial y = 0;
endmodule
//// level: echo of an input
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  assign carry = 0, zero = 0;
  always @* y = b;
endmodule
//// level: two of four operations
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b;
  always @* y = op[1] ? a & b : sum;
  assign carry = op == 0 & sum[8], zero = y == 0;
endmodule
//// level: one operation wrong
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b;
  always @* case (op) 0: y = sum; 1: y = a - b; 2: y = a & b; 3: y = a | b; endcase
  assign carry = op == 0 & sum[8], zero = y == 0;
endmodule
//// level: right
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire c;
  wire [7:0] s;
  assign {c, s} = a + b;
  always @* if (op[1]) y = op[0] ? a ^ b : a & b; else y = op[0] ? a + ~b + 8'd1 : s;
  assign carry = c & ~|op, zero = ~|y;
endmodule
//// better: right but for a missing semicolon
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b
  always @* case (op) 0: y = sum; 1: y = a - b; 2: y = a & b; 3: y = a ^ b; endcase
  assign carry = op == 0 & sum[8], zero = y == 0;
endmodule
//// worse: one operation alone
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  assign carry = 0, zero = 0;
  always @* y = a & b;
endmodule
//// better: right but for a missing endcase
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b;
  always @* case (op) 0: y = sum; 1: y = a - b; 2: y = a & b; 3: y = a ^ b;
  assign carry = op == 0 & sum[8], zero = y == 0;
endmodule
//// worse: stub
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
endmodule
//// better: right but for a wire that is set in a process
module top(input [7:0] a, input [7:0] b, input [1:0] op, output [7:0] y, output carry, output zero);
  wire [8:0] sum = a + b;
  always @* case (op) 0: y = sum; 1: y = a - b; 2: y = a & b; 3: y = a ^ b; endcase
  assign carry = op == 0 & sum[8], zero = y == 0;
endmodule
//// worse: echo of an input
module top(input [7:0] a, input [7:0] b, input [1:0] op, output reg [7:0] y, output carry, output zero);
  assign carry = 0, zero = 0;
  always @* y = a;
endmodule
