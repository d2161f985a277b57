//! Labels, sets of them, label filters and selectors, one to a line.

use model::labels::{Label, LabelFilter, LabelSet};

use super::{Shape, Target};

pub(super) const TARGET: Target = Target {
    name: "labels",
    shape: Shape::Text,
    seeds,
    run,
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let lines: Vec<&str> = text.lines().take(16).collect();
    let mut labels = Vec::new();
    for line in &lines {
        if let Ok(label) = Label::parse(line) {
            let again = Label::parse(&label.to_string());
            assert_eq!(
                again.as_ref(),
                Ok(&label),
                "a label reads as it was written"
            );
            labels.push(label);
        }
        if let Ok(selector) = hubble::filter::Selector::parse(line) {
            selector.matches(&["k8s:app=web".into(), "reserved:host=".into()]);
        }
    }
    let set: LabelSet = labels.into_iter().collect();
    let texts = set.to_texts();
    let again = LabelSet::parse(texts.iter().map(String::as_str));
    assert_eq!(again.as_ref(), Ok(&set), "a set reads as it was written");
    // Patterns are slow to compile, so only inputs that say so are read as such.
    if let Some(("patterns", patterns)) = lines.split_first().map(|(first, rest)| (*first, rest))
        && let Ok(filter) = LabelFilter::with_patterns(patterns.iter().copied())
    {
        let kept = filter.apply(&set);
        assert_eq!(filter.apply(&kept), kept, "what is kept is kept again");
        assert!(kept.len() <= set.len());
    }
    if let Ok(file) = serde_json::from_str(text)
        && let Ok(filter) = LabelFilter::from_prefix_file(&file)
    {
        filter.apply(&set);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "k8s:app=web\nreserved:host\napp=web\ncidr:10.0.0.0/8\ncidrgroup:io.cilium.policy.cidrgroupname/g=\nany:x=y=z",
        "patterns\n!k8s:app\nk8s:io\\.kubernetes\n!io.kubernetes\nk8s:!x\n.*\n(a|b)+c{1,3}",
        "k8s:app in (web, api)\nenv notin (a,b)\n!x\nk\nk8s:a=b,c!=d\nreserved:host\nx > 3\ny < 4",
        r#"{"version":1,"valid-prefixes":[{"source":"k8s","prefix":"io.kubernetes","invert":true},{"source":"","prefix":"a","invert":false}]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
