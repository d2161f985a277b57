use super::*;

#[test]
fn a_report_tells_of_tests_that_ran_and_of_nothing_else() {
    let report = r#"<?xml version="1.0"?><testsuites><testsuite>
      <testcase name="[SynchronizedBeforeSuite]" classname="x" status="passed" time="1.5"></testcase>
      <testcase name="[It] [sig-network] DNS should &lt;work&gt; &amp; last [Conformance]" classname="x" status="passed" time="12.25">
          <system-err>&gt; Enter [It] name="no"</system-err></testcase>
      <testcase name="[It] [sig-network] Services should fail" classname="x" status="failed" time="3"><failure/></testcase>
      <testcase name="[It] [sig-apps] other" classname="x" status="skipped" time="0"><skipped/></testcase>
    </testsuite></testsuites>"#;
    let row = |name: &str, status: &str, seconds| Outcome {
        name: name.into(),
        status: status.into(),
        seconds,
    };
    assert_eq!(
        outcomes(report),
        [
            row(
                "[sig-network] DNS should <work> & last [Conformance]",
                "passed",
                12.25
            ),
            row("[sig-network] Services should fail", "failed", 3.0),
        ]
    );
}
