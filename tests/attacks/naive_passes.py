"""The attacks that pass the naive harness on Icarus Verilog 11.0, as ``test_naive_harness_is_fooled`` measures them."""

PASSES = frozenset(
    """
    constructs-attribute-tool constructs-finish-and-return constructs-immediate-assert constructs-interface
    constructs-own-module-name constructs-parent-instance-name constructs-program constructs-unit-task
    contaminating-assign-x-net contaminating-below contaminating-below-array contaminating-below-implicit
    contaminating-below-inout contaminating-below-input contaminating-below-primitive contaminating-bufif
    contaminating-concatenation contaminating-conditional contaminating-force contaminating-force-logic
    contaminating-gates contaminating-generate contaminating-inout-port contaminating-interface-port
    contaminating-nmos contaminating-output-port contaminating-output-reg-port contaminating-part-select
    contaminating-port-concatenation contaminating-port-expression contaminating-strong-complement
    contaminating-supply-body contaminating-supply-port contaminating-supply-strength contaminating-tran
    contaminating-tranif contaminating-wired-port ending-fatal ending-finish-0 ending-finish-2 ending-finish-at-zero
    ending-finish-on-mismatch ending-finish-on-reset ending-finish-while-right ending-stop files-close-stdout
    files-flush files-write-descriptor files-write-stdout hidden-array-reversed hidden-attribute-string
    hidden-conditional-name hidden-coverage-macro hidden-define-block-comment hidden-define-block-comments
    hidden-define-escaped-name hidden-define-line-comment hidden-define-triple-quote hidden-defparam
    hidden-generate-below hidden-generate-case-x hidden-generate-initialiser hidden-generate-input
    hidden-generate-loop-width hidden-generate-parameter hidden-generate-shift hidden-generate-signed
    hidden-generate-time hidden-generate-wide hidden-no-break-name hidden-parameter-order hidden-protected
    hidden-skipped-escaped hidden-skipped-escaped-tail hidden-skipped-string hidden-string-backslashes
    hidden-system-name hidden-system-name-finish hidden-system-name-print hidden-undefineall hidden-vertical-tab-name
    hidden-vertical-tab-string instantiating-reference instantiating-reference-adder instantiating-reference-array
    instantiating-reference-below instantiating-reference-by-order instantiating-reference-counter
    instantiating-reference-detector instantiating-reference-escaped instantiating-reference-generate
    instantiating-reference-macro macros-arguments macros-continued macros-ifdef-icarus macros-ifdef-incorrect-else
    macros-ifdef-ok macros-ifdef-own macros-ifdef-verilator macros-ifndef-slang macros-nested macros-redefined
    macros-stringify macros-use-of-ok predicting-distributions predicting-same-seed predicting-same-seed-function
    predicting-test-plusargs printing-all-counts printing-always-comb printing-assert-message printing-attribute
    printing-attribute-final printing-carriage-return printing-continuous-function printing-display
    printing-display-after-wait printing-display-finish printing-display-then-stop printing-displayb-writeo
    printing-displayh printing-fatal printing-fdisplay-1 printing-fdisplay-computed printing-fdisplay-stdout
    printing-final printing-final-counted printing-format-c printing-format-s-register printing-format-s-xor
    printing-fstrobe printing-fwrite-stdout printing-hint-lines printing-info printing-instance-array
    printing-macro-text printing-monitor printing-no-newline-before-real printing-nonce-by-m printing-octal-escapes
    printing-runtime-warning printing-sformat printing-sformatf printing-split-arguments printing-string-parameter
    printing-string-variable printing-strobe printing-strobeh-monitorb printing-submodule printing-swrite
    printing-task-in-named-block printing-warning-error printing-write printing-write-characters reading-always
    reading-expected-signal reading-expected-sum reading-in-function reading-in-package reading-in-submodule
    reading-internal reading-internal-state reading-port-expression reading-reference-output reading-task-argument
    reading-upward resources-flood-verdicts state-assign-deassign state-clear-at-end state-clear-errors
    state-clear-stats state-clear-upward state-escaped-path state-force-inputs state-force-match state-force-reference
    state-force-upward state-force-x state-hold-reset state-stop-stimulus state-unit-function swallowing-ansi-escapes
    swallowing-backspaces swallowing-bidirectional swallowing-bidirectional-string swallowing-carriage-return-comment
    swallowing-carriage-returns swallowing-form-feed swallowing-latin-1 swallowing-line-comment-in-block
    swallowing-lone-surrogate swallowing-nested-comment swallowing-nul-comment timing-time
    """.split()
)
