use proptest::prelude::*;

use super::*;
use crate::{DescriptorError, Digest, media_type};

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{DIGEST}","size":2}}"#)
}

/// An image with `more` fields, each with a comma before it.
fn image(more: &str) -> String {
    let config = descriptor(media_type::OCI_CONFIG);
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]{more}}}"#)
}

fn index(more: &str) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[]{more}}}"#)
}

fn parse_as(content_type: &str, body: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Some(&content_type.parse().unwrap()), body.as_bytes())
}

fn parse(body: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(None, body.as_bytes())
}

#[test]
fn an_image_is_read_with_all_it_refers_to() {
    let layer = descriptor(media_type::OCI_LAYER_GZIP);
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"a/b","config":{},"layers":[{layer},{layer}],
            "subject":{},"annotations":{{"k":"v"}},"custom":{{"deep":[1,2,{{}}]}}}}"#,
        media_type::OCI_MANIFEST,
        descriptor(media_type::OCI_EMPTY),
        descriptor(media_type::OCI_MANIFEST),
    );
    let manifest = parse_as(media_type::OCI_MANIFEST, &body).unwrap();
    assert_eq!(manifest.kind, ManifestKind::Image);
    assert_eq!(manifest.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(manifest.artifact_type.as_deref(), Some("a/b"));
    assert_eq!(manifest.config.as_ref().unwrap().media_type, MediaType::OCI_EMPTY);
    assert_eq!(manifest.layers.len(), 2, "the same layer twice is two layers");
    assert_eq!(manifest.blobs().count(), 3);
    assert!(manifest.manifests.is_empty());
    assert_eq!(manifest.subject.unwrap().digest, DIGEST.parse::<Digest>().unwrap());
    assert_eq!(manifest.annotations["k"], "v");
}

#[test]
fn an_index_may_hold_anything_or_nothing() {
    let empty = parse_as(media_type::OCI_INDEX, &index("")).unwrap();
    assert_eq!((empty.kind, empty.blobs().count()), (ManifestKind::Index, 0));

    // BuildKit's cache: layers as children.
    let body = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(media_type::OCI_LAYER_ZSTD));
    assert_eq!(parse_as(media_type::DOCKER_LIST, &body).unwrap().manifests.len(), 1);
}

#[test]
fn the_type_comes_from_the_header_then_the_body_then_the_shape() {
    let typed = |found: Result<Manifest, ManifestError>| found.unwrap().media_type.to_string();
    let docker = format!(r#","mediaType":"{}""#, media_type::DOCKER_MANIFEST);
    assert_eq!(typed(parse_as(media_type::DOCKER_MANIFEST, &image(&docker))), media_type::DOCKER_MANIFEST);
    assert_eq!(typed(parse_as(media_type::DOCKER_MANIFEST, &image(""))), media_type::DOCKER_MANIFEST);
    assert_eq!(typed(parse(&image(&docker))), media_type::DOCKER_MANIFEST);
    assert_eq!(typed(parse(&image(""))), media_type::OCI_MANIFEST);
    assert_eq!(typed(parse(&image(r#","mediaType":"""#))), media_type::OCI_MANIFEST);
    assert_eq!(typed(parse(&index(""))), media_type::OCI_INDEX);
    assert_eq!(parse(r#"{"schemaVersion":2}"#), Err(ManifestError::Shapeless));
}

// CVE-2021-41190: a body that is an image to one reader and an index to another.
#[test]
fn a_manifest_that_can_be_read_in_two_ways_is_refused() {
    let both = image(r#","manifests":[]"#);
    assert_eq!(parse(&both), Err(ManifestError::Mixed));
    for content_type in [media_type::OCI_MANIFEST, media_type::OCI_INDEX, media_type::DOCKER_LIST] {
        assert_eq!(parse_as(content_type, &both), Err(ManifestError::Mixed));
    }
    let mismatch = parse_as(
        media_type::OCI_MANIFEST,
        &image(&format!(r#","mediaType":"{}""#, media_type::DOCKER_MANIFEST)),
    );
    assert_eq!(
        mismatch,
        Err(ManifestError::MediaTypeMismatch {
            content_type: MediaType::OCI_MANIFEST,
            body: MediaType::DOCKER_MANIFEST,
        })
    );
    for twice in [r#","layers":[]"#, r#","annotations":{},"annotations":{"a":"b"}"#, r#","schemaVersion":2"#]
    {
        let error = parse(&image(twice)).unwrap_err();
        assert!(error.to_string().contains("duplicate field"), "{error}");
    }
    assert!(matches!(
        parse(&format!(r#"{{"schemaVersion":2,"manifests":[{{"digest":"{DIGEST}","digest":"{DIGEST}"}}]}}"#)),
        Err(ManifestError::Field { .. })
    ));
}

#[test]
fn schema_1_is_named_as_such_whatever_it_is_sent_as() {
    let body = r#"{"schemaVersion":1,"name":"a/b","tag":"x","architecture":"amd64","fsLayers":[{"blobSum":"x"}],
        "history":[{"v1Compatibility":"{}"}],"signatures":[]}"#;
    for content_type in [
        media_type::SCHEMA1_MANIFEST,
        media_type::SCHEMA1_SIGNED_MANIFEST,
        media_type::DOCKER_MANIFEST,
        media_type::OCI_MANIFEST,
        "application/json",
    ] {
        assert_eq!(parse_as(content_type, body), Err(ManifestError::Schema1), "{content_type}");
    }
    assert_eq!(parse(body), Err(ManifestError::Schema1));
    assert_eq!(parse_as(media_type::SCHEMA1_MANIFEST, "not even JSON"), Err(ManifestError::Schema1));
    assert_eq!(parse(&image(r#","fsLayers":[]"#)), Err(ManifestError::Schema1));
    assert!(ManifestError::Schema1.to_string().contains("`docker` 1.10"));
}

#[test]
fn other_types_are_unsupported() {
    for content_type in
        ["application/json", "application/vnd.oci.artifact.manifest.v1+json", media_type::OCI_CONFIG]
    {
        let found = content_type.parse().unwrap();
        let refused = Err(ManifestError::UnsupportedMediaType { found });
        assert_eq!(parse_as(content_type, &image("")), refused);
        assert_eq!(parse(&image(&format!(r#","mediaType":"{content_type}""#))), refused);
        assert_eq!(parse_as(content_type, "{"), refused);
    }
}

#[test]
fn schema_version_must_be_the_number_2() {
    for (version, error) in [("0", ManifestError::SchemaVersion), ("3", ManifestError::SchemaVersion)] {
        assert_eq!(parse(&image("").replace(":2,\"config", &format!(":{version},\"config"))), Err(error));
    }
    for version in ["2.5", "-2", "99999999999999999999", "null"] {
        let body = format!(r#"{{"schemaVersion":{version},"manifests":[]}}"#);
        assert_eq!(parse(&body), Err(ManifestError::SchemaVersion), "{version}");
    }
    assert!(matches!(parse(r#"{"schemaVersion":"2","manifests":[]}"#), Err(ManifestError::Field { .. })));
    assert_eq!(parse(r#"{"manifests":[]}"#), Err(ManifestError::SchemaVersion));
}

#[test]
fn what_a_type_must_have_is_asked_for() {
    let missing = |field, media_type| Err(ManifestError::Missing { field, media_type });
    let no_layers = image("").replace(r#","layers":[]"#, "");
    assert_eq!(parse(&no_layers), missing("layers", MediaType::OCI_MANIFEST));
    assert_eq!(parse(r#"{"schemaVersion":2,"layers":[]}"#), missing("config", MediaType::OCI_MANIFEST));
    assert_eq!(parse_as(media_type::OCI_INDEX, &image("")), missing("manifests", MediaType::OCI_INDEX));
    assert_eq!(
        parse_as(media_type::DOCKER_MANIFEST, &index("")),
        missing("config", MediaType::DOCKER_MANIFEST)
    );
    assert_eq!(parse(&image("").replace("[]", "null")), missing("layers", MediaType::OCI_MANIFEST));
}

#[test]
fn a_wrong_descriptor_is_named_by_its_place() {
    let wrong = r#"{"mediaType":"a/b","digest":"sha256:AA","size":2}"#;
    let good = descriptor("a/b");
    for (body, place) in [
        (image(&format!(r#","subject":{wrong}"#)), "subject"),
        (image("").replace("[]", &format!("[{good},{wrong}]")), "layers[1]"),
        (index("").replace("[]", &format!("[{wrong}]")), "manifests[0]"),
        (image("").replace(&descriptor(media_type::OCI_CONFIG), wrong), "config"),
    ] {
        let Err(ManifestError::Descriptor { place: found, source: DescriptorError::Digest(_) }) =
            parse(&body)
        else {
            panic!("{body}");
        };
        assert_eq!(found, place);
    }
    // serde would take a struct as an array of its fields.
    let array = format!(r#"["a/b","{DIGEST}",2,null,null,null,null]"#);
    let body = index("").replace("[]", &format!("[{array}]"));
    assert!(matches!(parse(&body), Err(ManifestError::Field { .. })));
}

#[test]
fn text_that_is_not_one_json_object_says_so() {
    assert_eq!(parse(""), Err(ManifestError::Empty));
    assert_eq!(parse(&format!("\u{feff}{}", index(""))), Err(ManifestError::ByteOrderMark));
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(Manifest::parse(None, &utf16), Err(ManifestError::ByteOrderMark));
    let mut latin1 = index(r#","x":"?""#).into_bytes();
    let position = latin1.iter().position(|&byte| byte == b'?').unwrap();
    latin1[position] = 0xe9;
    assert_eq!(Manifest::parse(None, &latin1), Err(ManifestError::NotUtf8 { position }));
    for body in ["[]", "2", "null", "\"x\"", " [2,null,null]"] {
        assert_eq!(parse(body), Err(ManifestError::NotObject), "{body}");
    }
    for body in ["{", "}", "<html>", "hello", " ", &format!("{} x", index("")), &format!("{0}{0}", index(""))]
    {
        assert!(matches!(parse(body), Err(ManifestError::NotJson { .. })), "{body}");
    }
    for body in ["{}garbage", r#"{"schemaVersion":2,"manifests":[],}"#, r#"{"schemaVersion":NaN}"#] {
        assert!(matches!(parse(body), Err(ManifestError::NotJson { .. })), "{body}");
    }
    assert!(parse(&format!("\r\n\t {} \n", index(""))).is_ok());
}

#[test]
fn nesting_is_bounded_where_it_is_skipped_too() {
    let nested = |depth: usize| index(&format!(r#","x":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    assert!(parse(&nested(NESTING_MAX - 1)).is_ok());
    assert_eq!(parse(&nested(NESTING_MAX)), Err(ManifestError::TooDeep));
    assert_eq!(parse(&nested(2_000_000)), Err(ManifestError::TooDeep));
    assert!(parse(&index(&format!(r#","x":"\"{}""#, "[".repeat(1000)))).is_ok(), "brackets in text are text");
}

#[test]
fn descriptors_are_counted_over_all_lists() {
    let list = |count: usize| vec![descriptor("a/b"); count].join(",");
    let with = |count: usize| image("").replace("[]", &format!("[{}]", list(count)));
    assert_eq!(parse(&with(9_999)).unwrap().blobs().count(), 10_000);
    assert_eq!(parse(&with(10_000)), Err(ManifestError::TooManyDescriptors { count: 10_001 }));
    assert_eq!(parse(&with(12_000)), Err(ManifestError::TooManyDescriptors { count: 12_001 }));
}

#[test]
fn messages_do_not_repeat_megabytes() {
    let error = parse(&index(&format!(r#","config":"{}""#, "é".repeat(1_000_000)))).unwrap_err();
    assert!(matches!(error, ManifestError::Field { .. }));
    assert!(error.to_string().chars().count() < 300, "{error}");
}

#[test]
fn a_referrer_without_artifact_type_goes_by_its_config() {
    let typed = |body: &str| parse(body).unwrap().referrer_artifact_type().map(str::to_owned);
    assert_eq!(typed(&image(r#","artifactType":"a/b""#)).as_deref(), Some("a/b"));
    assert_eq!(typed(&image(r#","artifactType":"""#)).as_deref(), Some(media_type::OCI_CONFIG));
    assert_eq!(typed(&image("")).as_deref(), Some(media_type::OCI_CONFIG));
    assert_eq!(typed(&index(r#","artifactType":"a/b""#)).as_deref(), Some("a/b"));
    assert_eq!(typed(&index("")), None);
    let long = image(&format!(r#","artifactType":"{}""#, "a".repeat(256)));
    assert_eq!(parse(&long), Err(ManifestError::ArtifactTypeTooLong));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
        let _ = Manifest::parse(None, &bytes);
    }

    #[test]
    fn a_manifest_cut_anywhere_is_refused(at: prop::sample::Index) {
        let whole = image(&format!(r#","subject":{},"x":"é""#, descriptor("a/b")));
        let cut = &whole.as_bytes()[..at.index(whole.len())];
        prop_assert!(Manifest::parse(None, cut).is_err());
    }

    #[test]
    fn a_manifest_with_any_byte_changed_is_read_or_refused(at: prop::sample::Index, byte: u8) {
        let mut body = image(&format!(r#","subject":{},"x":"\u00e9""#, descriptor("a/b"))).into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(manifest) = Manifest::parse(None, &body) {
            prop_assert_eq!(manifest.kind, ManifestKind::Image);
        }
    }
}
