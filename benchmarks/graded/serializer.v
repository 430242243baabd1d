//// reference
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s;
  reg [3:0] n;
  always @(posedge clk)
    if (rst) begin s <= 0; n <= 0; end
    else if (load && n == 0) begin s <= d; n <= 8; end
    else if (n != 0) begin s <= {1'b0, s[7:1]}; n <= n - 1; end
  assign so = s[0], busy = n != 0, parity = ^s;
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (2500) begin rst = $random % 90 == 0; load = $random % 4 == 0; d = $random; cycle; end
//// level: stub
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
endmodule
//// level: constants
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  assign so = 1, busy = 0, parity = 1;
endmodule
//// level: echo of inputs
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  assign so = d[0], busy = load, parity = ^d;
endmodule
//// level: the wrong end first, no parity
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s; reg [3:0] n;
  always @(posedge clk) if (rst) begin s <= 0; n <= 0; end else if (load && n == 0) begin s <= d; n <= 8; end else if (n != 0) begin s <= s << 1; n <= n - 1; end
  assign so = s[7], busy = n != 0, parity = 0;
endmodule
//// level: no parity
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s; reg [3:0] n;
  always @(posedge clk) if (rst) begin s <= 0; n <= 0; end else if (load && n == 0) begin s <= d; n <= 8; end else if (n != 0) begin s <= s >> 1; n <= n - 1; end
  assign so = s[0], busy = n != 0, parity = 0;
endmodule
//// level: right
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s, left;
  always @(posedge clk) begin
    if (|left) begin s <= s >> 1; left <= left >> 1; end else if (load) begin s <= d; left <= 8'hff; end
    if (rst) begin s <= 0; left <= 0; end
  end
  assign so = s[0], busy = left[0], parity = ^s;
endmodule
//// better: busy and parity right
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s; reg [3:0] n;
  always @(posedge clk) if (rst) begin s <= 0; n <= 0; end else if (load && n == 0) begin s <= d; n <= 8; end else if (n != 0) begin s <= s >> 1; n <= n - 1; end
  assign so = 0, busy = n != 0, parity = ^s;
endmodule
//// worse: registered inputs
module top(input clk, input rst, input load, input [7:0] d, output reg so, output reg busy, output reg parity);
  always @(posedge clk) begin so <= d[0]; busy <= load; parity <= ^d; end
endmodule
//// better: right but cut off before its last word
module top(input clk, input rst, input load, input [7:0] d, output so, output busy, output parity);
  reg [7:0] s, left;
  always @(posedge clk) begin
    if (|left) begin s <= s >> 1; left <= left >> 1; end else if (load) begin s <= d; left <= 8'hff; end
    if (rst) begin s <= 0; left <= 0; end
  end
  assign so = s[0], busy = left[0], parity = ^s;
//// worse: prose
Here is a module top with the inputs clk, rst, load and d: it shifts d out, lowest bit first.
