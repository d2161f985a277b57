use super::*;

const LIST: &str = "
	PrivateRegistry          string `yaml:\"privateRegistry\"`
		PrivateRegistry:          \"example.test/private\",
		GcRegistry:               \"example.test\",
	configs[Pause] = Config{list.GcRegistry, \"pause\", \"3.10.2\"}
	configs[AgnhostPrivate] = Config{list.PrivateRegistry, \"agnhost\", \"2.6\"}
";

#[test]
fn an_image_has_the_name_that_upstreams_tests_ask_for() {
    assert_eq!(
        upstream_name(LIST, "Pause").unwrap(),
        "example.test/pause:3.10.2"
    );
    assert_eq!(
        upstream_name(LIST, "AgnhostPrivate").unwrap(),
        "example.test/private/agnhost:2.6"
    );
    let error = upstream_name(LIST, "Agnhost").unwrap_err();
    assert_eq!(
        error.to_string(),
        "upstream's list of images has no 'Agnhost'"
    );
}

#[test]
fn a_recipe_changes_with_what_is_in_a_file_and_with_the_words_of_the_image() {
    let file = std::env::temp_dir().join(format!("axoneme-recipe-{}", std::process::id()));
    fs::write(&file, "one").unwrap();
    let mut image = Image::named(&["example.test/one:1"]);
    image.file(&file, "/one");
    let first = recipe(&image).unwrap();
    assert_eq!(first, recipe(&image).unwrap());
    fs::write(&file, "longer").unwrap();
    let second = recipe(&image).unwrap();
    assert_ne!(first, second);
    image.cmd.push("word".into());
    assert_ne!(second, recipe(&image).unwrap());
    fs::remove_file(file).unwrap();
}
