//// reference
module top #(parameter W = 8) (input [W-1:0] a, input [W-1:0] b, output [W:0] s, output over);
  assign s = a + b;
  assign over = s[W];
endmodule
//// witness
module tb;
  reg [7:0] a, b; wire [8:0] s0, s1; wire o0, o1;
  reg [15:0] c, d; wire [16:0] t0, t1; wire p0, p1; integer i, bad;
  golden g(.a(a), .b(b), .s(s0), .over(o0));
  top u(.a(a), .b(b), .s(s1), .over(o1));
  golden #(.W(16)) h(.a(c), .b(d), .s(t0), .over(p0));
  top #(.W(16)) v(.a(c), .b(d), .s(t1), .over(p1));
  initial begin
    bad = 0;
    for (i = 0; i < 300; i = i + 1) begin
      {a, b} = $random; {c, d} = $random; #5;
      if (s0 !== s1 || o0 !== o1 || t0 !== t1 || p0 !== p1) bad = bad + 1;
    end
    $display("%s", bad ? "DIFFERENT" : "SAME");
    $finish;
  end
endmodule
//// wrong: parameter without effect
module top #(parameter W = 8) (input [7:0] a, input [7:0] b, output [8:0] s, output over);
  assign s = a + b;
  assign over = s[8];
endmodule
//// wrong: parameter wrong from twelve bits
module top #(parameter W = 8) (input [W-1:0] a, input [W-1:0] b, output [W:0] s, output over);
  assign s = W < 12 ? a + b : a - b;
  assign over = s[W];
endmodule
//// wrong: carry lost
module top #(parameter W = 8) (input [W-1:0] a, input [W-1:0] b, output [W:0] s, output over);
  assign s = {a + b};
  assign over = s[W];
endmodule
//// right: carry by a comparison
module top #(parameter W = 8) (input [W-1:0] a, input [W-1:0] b, output [W:0] s, output over);
  wire [W-1:0] low = a + b;
  assign over = low < a;
  assign s = {over, low};
endmodule
//// right: generate loop
module top #(parameter W = 8) (input [W-1:0] a, input [W-1:0] b, output [W:0] s, output over);
  wire [W:0] c;
  assign c[0] = 0;
  genvar i;
  for (i = 0; i < W; i = i + 1) begin : g
    assign s[i] = a[i] ^ b[i] ^ c[i];
    assign c[i+1] = a[i] & b[i] | c[i] & (a[i] | b[i]);
  end
  assign s[W] = c[W];
  assign over = c[W];
endmodule
