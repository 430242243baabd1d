//// reference
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = en ? 8'd1 << s : 8'd0;
  assign any = |y;
endmodule
//// stimulus
repeat (2000) begin s = $random; en = $random; look; end
//// level: stub
module top(input [2:0] s, input en, output [7:0] y, output any);
endmodule
//// level: constants
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = 8'h80, any = 1;
endmodule
//// level: echo of an input
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = s, any = en;
endmodule
//// level: half of the codes
module top(input [2:0] s, input en, output reg [7:0] y, output any);
  always @* begin y = 0; if (en) case (s) 0: y = 1; 1: y = 2; 2: y = 4; 3: y = 8; default: y = 8'hff; endcase end
  assign any = en;
endmodule
//// level: enable ignored in one code
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = en | &s ? 8'd1 << s : 8'd0, any = |y;
endmodule
//// level: right
module top(input [2:0] s, input en, output reg [7:0] y, output any);
  integer i;
  always @* for (i = 0; i < 8; i = i + 1) y[i] = en && s == i;
  assign any = en;
endmodule
//// better: right but for a name that is not declared
module top(input [2:0] s, input en, output reg [7:0] y, output any);
  always @* for (i = 0; i < 8; i = i + 1) y[i] = en && s == i;
  assign any = en;
endmodule
//// worse: constants
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = 0, any = 0;
endmodule
//// better: half of the codes
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = en & ~s[2] ? 1 << s : 0, any = en;
endmodule
//// worse: inverted inputs
module top(input [2:0] s, input en, output [7:0] y, output any);
  assign y = {8{~en}}, any = ~en;
endmodule
