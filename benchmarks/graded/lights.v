//// reference
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg [1:0] state;
  reg [2:0] left;
  always @(posedge clk)
    if (rst) begin state <= 0; left <= 0; end
    else case (state)
      2'd0: if (car) begin state <= 1; left <= 5; end
      2'd1: if (left == 0) begin state <= 2; left <= 1; end else left <= left - 1;
      default: if (left == 0) state <= 0; else left <= left - 1;
    endcase
  assign red = state == 0, green = state == 1, yellow = state == 2;
endmodule
//// stimulus
rst = 1; cycle; cycle; rst = 0; begin_count;
repeat (2000) begin rst = $random % 60 == 0; car = $random % 4 == 0; cycle; end
//// level: stub
module top(input clk, input rst, input car, output red, output yellow, output green);
endmodule
//// level: constants
module top(input clk, input rst, input car, output red, output yellow, output green);
  assign red = 0, yellow = 0, green = 1;
endmodule
//// level: echo of an input
module top(input clk, input rst, input car, output red, output yellow, output green);
  assign red = ~car, green = car, yellow = 0;
endmodule
//// level: no yellow
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg [2:0] left; reg go;
  always @(posedge clk) if (rst) go <= 0; else if (!go) begin go <= car; left <= 5; end else if (left == 0) go <= 0; else left <= left - 1;
  assign red = ~go, green = go, yellow = 0;
endmodule
//// level: yellow too short
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg [2:0] left; reg [1:0] s;
  always @(posedge clk) if (rst) s <= 0; else if (s == 0) begin s <= car; left <= 5; end else if (s == 2) s <= 0; else if (left == 0) s <= 2; else left <= left - 1;
  assign red = s == 0, green = s == 1, yellow = s == 2;
endmodule
//// level: right
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg [3:0] n;
  always @(posedge clk) if (rst || n == 8) n <= 0; else if (n != 0 || car) n <= n + 1;
  assign red = n == 0, yellow = n > 6, green = ~red & ~yellow;
endmodule
//// better: right but late by a cycle
module top(input clk, input rst, input car, output reg red, output reg yellow, output reg green);
  reg [3:0] n;
  always @(posedge clk) begin
    if (rst || n == 8) n <= 0; else if (n != 0 || car) n <= n + 1;
    red <= n == 0; yellow <= n > 6; green <= n != 0 && n <= 6;
  end
endmodule
//// worse: echo of an input
module top(input clk, input rst, input car, output red, output yellow, output green);
  assign red = ~car, green = car, yellow = car;
endmodule
//// better: right but for a parenthesis
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg [3:0] n;
  always @(posedge clk) if (rst || n == 8 n <= 0; else if (n != 0 || car) n <= n + 1;
  assign red = n == 0, yellow = n > 6, green = ~red & ~yellow;
endmodule
//// worse: all the same wire
module top(input clk, input rst, input car, output red, output yellow, output green);
  reg r;
  always @(posedge clk) r <= car;
  assign red = r, yellow = r, green = r;
endmodule
