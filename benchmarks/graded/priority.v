//// reference
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
  wire [7:0] open = req & ~mask;
  integer i;
  always @* begin
    index = 0; valid = 0;
    for (i = 7; i >= 0; i = i - 1) if (open[i]) begin index = i; valid = 1; end
  end
endmodule
//// stimulus
repeat (3000) begin req = $random & $random; mask = $random; look; end
//// level: stub
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
endmodule
//// level: constants
module top(input [7:0] req, input [7:0] mask, output [2:0] index, output valid);
  assign index = 7, valid = 1;
endmodule
//// level: echo of an input
module top(input [7:0] req, input [7:0] mask, output [2:0] index, output valid);
  assign index = req[2:0], valid = req[7];
endmodule
//// level: no mask
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
  always @* begin
    valid = |req;
    casez (req) 8'b???????1: index = 0; 8'b??????10: index = 1; 8'b?????100: index = 2; 8'b????1000: index = 3;
      8'b???10000: index = 4; 8'b??100000: index = 5; 8'b?1000000: index = 6; 8'b10000000: index = 7; default: index = 0; endcase
  end
endmodule
//// level: one request unmasked
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
  wire [7:0] open = req & ~(mask & 8'hfb);
  integer i;
  always @* begin index = 0; valid = |open; for (i = 7; i >= 0; i = i - 1) if (open[i]) index = i; end
endmodule
//// level: right
module top(input [7:0] req, input [7:0] mask, output [2:0] index, output valid);
  wire [7:0] o = req & ~mask, f = o & (~o + 8'd1);
  assign index = {|f[7:4], |(f & 8'hcc), |(f & 8'haa)}, valid = o != 0;
endmodule
//// better: highest in place of lowest
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
  wire [7:0] open = req & ~mask;
  integer i;
  always @* begin index = 0; valid = |open; for (i = 0; i < 8; i = i + 1) if (open[i]) index = i; end
endmodule
//// worse: exclusive or of the inputs
module top(input [7:0] req, input [7:0] mask, output [2:0] index, output valid);
  assign index = req ^ mask, valid = ^req;
endmodule
//// better: right but for a semicolon too much
module top(input [7:0] req, input [7:0] mask, output reg [2:0] index, output reg valid);
  wire [7:0] open = req & ~mask;
  integer i;
  always @* begin index = 0; valid = |open; for (i = 7; i >= 0; i = i - 1;) if (open[i]) index = i; end
endmodule
//// worse: echo of an input
module top(input [7:0] req, input [7:0] mask, output [2:0] index, output valid);
  assign index = mask[2:0], valid = req[0];
endmodule
