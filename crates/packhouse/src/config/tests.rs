use super::*;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

fn inputs(flags: &[(&'static str, &str)], environment: &[(&str, &str)], file: Option<&Path>) -> Inputs {
    Inputs {
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        file: file.map(Path::to_owned),
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
    }
}

/// A configuration file, with its folder to keep.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packhouse.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn refusal_of_file(text: &str) -> String {
    let (folder, path) = file(text);
    let error = load(inputs(&[], &[], Some(&path))).unwrap_err().to_string();
    error.replace(&folder.path().display().to_string(), "")
}

fn refusal(environment: &[(&str, &str)]) -> String {
    load(inputs(&[], environment, None)).unwrap_err().to_string()
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn nothing_is_needed() {
    let loaded = load(Inputs::default()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.data, Path::new("./packhouse-data"));
    assert_eq!(config.layer_bytes_max, 10_000_000_000);
    assert_eq!(config.manifest_bytes_max, 8 << 20);
    assert_eq!(config.sparse_manifests, SparseManifests::Refuse);
    assert_eq!(config.upload_idle_max, Duration::from_secs(7 * 24 * 3600));
    assert!(config.tls.is_none() && config.database_url.is_none() && config.admin_token.is_none());
    assert!(loaded.warning.is_none());
    let keys: Vec<_> = loaded.rows.iter().map(|row| row.key).collect();
    let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(keys, known, "`config check` shows every key, in the order of the documentation");
}

#[test]
fn flags_before_environment_before_file_before_defaults() {
    let (_folder, path) =
        file("listen = '127.0.0.1:1'\nadmin = 'file'\ntoken_seconds = 60\nstall_seconds = 1_0\n");
    let environment = [("PACKHOUSE_LISTEN", "127.0.0.1:2"), ("PACKHOUSE_ADMIN", "environment")];
    let loaded = load(inputs(&[("listen", "127.0.0.1:3")], &environment, Some(&path))).unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.admin.as_str(), "environment");
    assert_eq!(loaded.config.token_life, Duration::from_secs(60));
    assert_eq!(loaded.config.stall_time, Duration::from_secs(10));
    assert_eq!(loaded.config.header_time, Duration::from_secs(30));
    let source = |key: &str| loaded.rows.iter().find(|row| row.key == key).unwrap().source.clone();
    assert_eq!(source("listen"), "--listen");
    assert_eq!(source("admin"), "PACKHOUSE_ADMIN");
    assert_eq!(source("token_seconds"), format!("{}:3", path.display()));
    assert_eq!(source("header_seconds"), "default");
}

#[test]
fn the_file_may_be_named_by_the_environment_but_the_flag_wins() {
    let (_one, flagged) = file("admin = 'flagged'\n");
    let (_other, named) = file("admin = 'named'\n");
    let environment = [("PACKHOUSE_CONFIG", named.to_str().unwrap())];
    assert_eq!(load(inputs(&[], &environment, None)).unwrap().config.admin.as_str(), "named");
    assert_eq!(load(inputs(&[], &environment, Some(&flagged))).unwrap().config.admin.as_str(), "flagged");
    let missing = load(inputs(&[], &[("PACKHOUSE_CONFIG", "/nowhere/at.all")], None)).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read the configuration file `/nowhere/at.all`");
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_nearest_key() {
    assert_eq!(
        refusal_of_file("\nlistne = 'x'\n"),
        "`/packhouse.toml`, line 2: unknown key `listne`; did you mean `listen`?"
    );
    assert_eq!(
        refusal_of_file("[tls]\ncertificat = 'x'\n"),
        "`/packhouse.toml`, line 2: unknown key `tls.certificat`; did you mean `tls.certificate`?"
    );
    assert_eq!(
        refusal_of_file("quux = 1\n"),
        "`/packhouse.toml`, line 1: unknown key `quux`; `packhouse serve --help` lists all keys"
    );
    assert_eq!(
        refusal_of_file("[storage]\npath = 'x'\n"),
        "`/packhouse.toml`, line 1: unknown key `storage`; `packhouse serve --help` lists all keys"
    );
    assert!(refusal_of_file("a = = 1\n").starts_with("`/packhouse.toml`, line 1: "));
    assert!(refusal_of_file("admin = 'a'\nadmin = 'b'\n").contains("line 2: duplicate key"));
}

/// angos, changelog: an unparsable `[tls]` fell back to plaintext.
#[test]
fn an_unparsable_tls_never_falls_back_to_plaintext() {
    assert_eq!(
        refusal_of_file("tls = 'cert.pem'\n"),
        "`/packhouse.toml`, line 1: unknown key `tls`; `[tls]` is a table"
    );
    assert_eq!(
        refusal_of_file("[tls]\ncertificate = 'cert.pem'\n"),
        "`tls.certificate` (/packhouse.toml:2) needs `tls.key` too; give both for TLS, or none for plain HTTP"
    );
    assert!(refusal_of_file("[tls]\ncertificate = 7.5\nkey = 'k'\n").contains("is a number with a fraction"));
    assert!(refusal_of_file("[tls]\ncertificate = ''\nkey = 'k'\n").contains("it is empty"));
    assert!(refusal(&[("PACKHOUSE_TLS_KEY", "key.pem")]).starts_with("`tls.key` (PACKHOUSE_TLS_KEY) needs"));
    // Halves from two sources make a whole.
    let (_folder, path) = file("[tls]\ncertificate = 'cert.pem'\n");
    let whole = load(inputs(&[("tls.key", "key.pem")], &[], Some(&path))).unwrap().config.tls.unwrap();
    assert_eq!(whole, TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into() });
}

/// Kubernetes gives these to every container beside a Service named `packhouse`.
#[test]
fn unknown_variables_are_warned_of_and_empty_ones_are_absent() {
    let environment = [
        ("PACKHOUSE_PORT", "tcp://10.0.0.1:5000"),
        ("PACKHOUSE_LISTNE", "0.0.0.0:1"),
        ("PACKHOUSE_EXTERNAL_URL", ""),
        ("OTHER", "x"),
    ];
    let loaded = load(inputs(&[], &environment, None)).unwrap();
    assert!(loaded.config.external_url.is_none());
    assert_eq!(
        loaded.warning.as_deref(),
        Some(
            "ignored the environment variable(s) `PACKHOUSE_LISTNE`, `PACKHOUSE_PORT`: \
             did you mean `PACKHOUSE_LISTEN`?"
        )
    );
}

#[test]
fn every_refusal_names_key_and_source_and_what_is_allowed() {
    assert_eq!(
        refusal(&[("PACKHOUSE_LISTEN", "localhost:5000")]),
        "`listen` (PACKHOUSE_LISTEN): `localhost:5000` is not an IP address and a port; allowed: an IP address and a \
         port, such as `0.0.0.0:5000` or `[::]:5000`; port 0 picks a free one"
    );
    let cases = [
        ("EXTERNAL_URL", "reg.test", "is not a URL"),
        ("EXTERNAL_URL", "ftp://reg.test", "has another scheme"),
        ("EXTERNAL_URL", "https://reg.test/registry", "has more than a host and a port"),
        ("EXTERNAL_URL", "https://user@reg.test", "has no valid host and port"),
        ("EXTERNAL_URL", "https://:80", "has no valid host and port"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy", "`proxy` is neither"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "is neither"),
        ("DATABASE_URL", "mysql://u:s3cret@h/d", "does not begin with `postgres://`"),
        ("SPARSE_MANIFESTS", "yes", "`yes` is neither; allowed: `allow` or `refuse`"),
        ("LAYER_BYTES_MAX", "10GB", "is not such a number"),
        ("LAYER_BYTES_MAX", "0", "is out of bounds"),
        ("MANIFEST_BYTES_MAX", "4194303", "from 4194304 (4 MiB) to 67108864 (64 MiB)"),
        ("MANIFEST_BYTES_MAX", "67108865", "is out of bounds"),
        ("TOKEN_SECONDS", "59", "is out of bounds"),
        ("CONNECTIONS_MAX", "-1", "is not such a number"),
        ("ADMIN", "Admin", "`Admin`: a name is written in lower case"),
        ("ADMIN", "a/b", "allowed: 1 to 64"),
        ("LOG", "inof", "`inof` is not a level"),
        ("LOG", "packhouse=loud", "is not a filter"),
        ("LOG_FORMAT", "xml", "`xml` is neither"),
        ("METRICS_LISTEN", "127.0.0.1:5000", "is the same address as `listen`"),
    ];
    for (name, value, expected) in cases {
        let variable = format!("PACKHOUSE_{name}");
        let refusal = refusal(&[(&variable, value)]);
        assert!(refusal.contains(expected), "{name}={value}: {refusal}");
        assert!(refusal.contains(&variable), "{refusal}");
        assert!(!refusal.contains("s3cret"), "{refusal}");
    }
    assert!(refusal_of_file("listen = ['127.0.0.1:1']\n").contains("is a list"));
    assert!(refusal_of_file("listen = true\n").contains("is `true` or `false`"));
    let odd = Inputs {
        environment: vec![("PACKHOUSE_ADMIN".into(), OsString::from_vec(vec![0xff]))],
        ..Inputs::default()
    };
    assert_eq!(
        load(odd).unwrap_err().to_string(),
        "the environment variable `PACKHOUSE_ADMIN` is not valid UTF-8"
    );
}

#[test]
fn proxies_are_a_list_in_the_file_and_commas_elsewhere() {
    let (_folder, path) = file("trusted_proxies = ['10.1.2.3/8', '::1']\n");
    let config = load(inputs(&[], &[], Some(&path))).unwrap().config;
    assert_eq!(format!("{:?}", config.trusted_proxies), "[10.0.0.0/8, ::1/128]");
    let config =
        load(inputs(&[], &[("PACKHOUSE_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7")], None)).unwrap().config;
    assert_eq!(format!("{:?}", config.trusted_proxies), "[10.0.0.0/8, 192.0.2.7/32]");
    let many = vec!["10.0.0.1"; 65].join(",");
    assert!(refusal(&[("PACKHOUSE_TRUSTED_PROXIES", &many)]).contains("there are 65"));
}

#[test]
fn forges_are_a_list_in_the_file_and_commas_elsewhere() {
    let (_folder, path) = file("known_forges = ['git.example.org:8443', 'GitHub.com']\n");
    let config = load(inputs(&[], &[], Some(&path))).unwrap().config;
    assert_eq!(config.known_forges, ["git.example.org:8443", "github.com"]);
    assert_eq!(load(inputs(&[], &[], None)).unwrap().config.known_forges, ["github.com"]);
    assert!(refusal(&[("PACKHOUSE_KNOWN_FORGES", "github.com,a b")]).contains("`a b` is not a host name"));
    assert!(refusal(&[("PACKHOUSE_CREATE_REPOSITORIES", "all")]).contains("`all` is none of them"));
}

#[test]
fn the_admin_token_has_32_to_255_characters_and_one_source() {
    let of = |token: &str| load(inputs(&[], &[("PACKHOUSE_ADMIN_TOKEN", token)], None));
    assert_eq!(of(TOKEN).unwrap().config.admin_token.unwrap().reveal(), TOKEN);
    assert!(of(&"x".repeat(255)).is_ok());
    for bad in
        ["x".repeat(31), "x".repeat(256), format!("{TOKEN} "), format!("{TOKEN}é"), format!("{TOKEN}\n")]
    {
        let refusal = of(&bad).unwrap_err().to_string();
        assert!(refusal.contains("allowed: 32 to 255 printable"), "{refusal}");
        assert!(!refusal.contains("xxx") && !refusal.contains(TOKEN), "{refusal}");
    }
    let both = refusal(&[("PACKHOUSE_ADMIN_TOKEN", TOKEN), ("PACKHOUSE_ADMIN_TOKEN_FILE", "/x")]);
    assert!(both.contains("are both given"), "{both}");
}

#[test]
fn the_admin_token_is_read_from_a_file_behind_symbolic_links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes lays out a secret: token → ..data/token, ..data → ..2026.
    std::fs::create_dir(at("..2026")).unwrap();
    std::fs::write(at("..2026/token"), format!("{TOKEN}\r\n")).unwrap();
    std::os::unix::fs::symlink("..2026", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/token", at("token")).unwrap();
    let of = |path: &Path| load(inputs(&[], &[("PACKHOUSE_ADMIN_TOKEN_FILE", path.to_str().unwrap())], None));
    assert_eq!(of(&at("token")).unwrap().config.admin_token.unwrap().reveal(), TOKEN);
    std::fs::write(at("short"), "short\n").unwrap();
    let refusal = of(&at("short")).unwrap_err().to_string();
    assert!(refusal.contains("`admin_token_file` (PACKHOUSE_ADMIN_TOKEN_FILE): in `"), "{refusal}");
    assert!(refusal.contains("it has 5 characters"), "{refusal}");
    assert!(of(&at("none")).unwrap_err().to_string().starts_with("cannot read `"));
}

/// angos, changelog: secrets redacted in Debug.
#[test]
fn secrets_are_shown_nowhere() {
    let url = "postgres://packhouse:s3cret@p@db.test:5433/registry?sslmode=require&sslpassword=s3cret";
    let environment = [("PACKHOUSE_DATABASE_URL", url), ("PACKHOUSE_ADMIN_TOKEN", TOKEN)];
    let loaded = load(inputs(&[], &environment, None)).unwrap();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("s3cret") && !shown.contains(TOKEN), "{shown}");
    let url_shown = loaded.config.database_url.as_ref().unwrap().to_string();
    assert_eq!(url_shown, "postgres://packhouse:***@db.test:5433/registry?sslmode=require&sslpassword=***");
    assert_eq!(loaded.config.database_url.as_ref().unwrap().reveal(), url);
    assert!(loaded.rows.iter().any(|row| row.key == "admin_token" && row.value.as_deref() == Some("***")));
}

#[test]
fn plans_are_tables_or_lines() {
    let plans = |text: &str| {
        let (_folder, path) = file(text);
        load(inputs(&[], &[], Some(&path)))
            .map(|loaded| loaded.config.plans)
            .map_err(|error| error.to_string())
    };
    let tables = "plan = 'team'\n[plans.team]\nprivate_storage = '50GB'\ntransfer = 1000\n[plans.open]\n";
    let lines = "plans = ['team private_storage=50GB transfer=1000', 'open']\nplan = 'team'\n";
    let mut found = plans(tables).unwrap();
    found.sort_by(|one, other| other.0.cmp(&one.0));
    let mut expected = plans(lines).unwrap();
    expected.sort_by(|one, other| other.0.cmp(&one.0));
    assert_eq!(found, expected);
    assert_eq!(
        found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["unlimited", "team", "open", "github-free"]
    );
    for (text, said) in [
        ("[plans]\nteam = '50GB'\n", "a table of something but tables"),
        ("[plans.team]\nstorage = ['1']\n", "a list for a limit"),
        ("[plans.team]\ndisk = '1GB'\n", "`disk` is not a limit"),
        ("plan = 'none'\n", "`none` is none of `plans`"),
    ] {
        let error = plans(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn the_documentation_has_the_table_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once("<!-- keys: begin -->\n").expect("the begin mark");
    let (table, _) = rest.split_once("<!-- keys: end -->").expect("the end mark");
    assert_eq!(
        table.trim(),
        reference().trim(),
        "docs/configuration.md is stale: put the output of `packhouse config reference` between its marks"
    );
}

#[test]
fn a_bucket_takes_the_place_of_files() {
    assert!(load(inputs(&[], &[("PACKHOUSE_S3_REGION", "garage")], None)).unwrap().config.s3.is_none());
    let (_folder, path) = file(
        "layer_bytes_max = 1000\n[s3]\nbucket = 'packs'\nendpoint = 'http://127.0.0.1:3900/'\nprefix = '/a/b'\n\
         access_key = 'key'\nredirect = 'on'\npath_style = 'off'\n",
    );
    let loaded = load(inputs(&[], &[("PACKHOUSE_S3_SECRET_KEY", "hush")], Some(&path)));
    assert!(loaded.is_err(), "a prefix does not begin with a slash");
    let environment = [("PACKHOUSE_S3_SECRET_KEY", "hush"), ("PACKHOUSE_S3_PREFIX", "a/b")];
    let loaded = load(inputs(&[], &environment, Some(&path))).unwrap();
    let bucket = loaded.config.s3.unwrap();
    assert_eq!(bucket.endpoint.as_deref(), Some("http://127.0.0.1:3900"));
    assert_eq!((bucket.prefix.as_str(), bucket.region.as_str()), ("a/b/", "us-east-1"));
    assert_eq!((bucket.redirect, bucket.path_style), (Some(Duration::from_secs(1200)), false));
    assert_eq!((bucket.part_bytes, bucket.layer_bytes_max), (8 << 20, 1000));
    assert!(!format!("{:?} {:?}", bucket, loaded.rows).contains("hush"));
}

#[test]
fn a_key_of_a_bucket_and_its_secret_belong_together() {
    assert_eq!(
        refusal(&[("PACKHOUSE_S3_ACCESS_KEY", "key")]),
        "`s3.access_key` (PACKHOUSE_S3_ACCESS_KEY) needs `s3.secret_key` too; give both, or none to have them found as \
         AWS's programs do"
    );
    let wrong = refusal(&[("PACKHOUSE_S3_SECRET_KEY", "a secret")]);
    assert!(
        wrong.starts_with("`s3.secret_key` (PACKHOUSE_S3_SECRET_KEY): ") && !wrong.contains("a secret"),
        "{wrong}"
    );
    for (variable, value) in [
        ("PACKHOUSE_S3_BUCKET", "No"),
        ("PACKHOUSE_S3_ENDPOINT", "127.0.0.1:3900"),
        ("PACKHOUSE_S3_PREFIX", "a/../b"),
        ("PACKHOUSE_S3_REGION", "a b"),
        ("PACKHOUSE_S3_PART_BYTES", "1000"),
    ] {
        assert!(refusal(&[(variable, value)]).starts_with("`s3."), "{variable}");
    }
}

/// The example of docs/storage.md.
#[test]
fn the_example_of_a_bucket_is_a_configuration() {
    let page = include_str!("../../../../docs/storage.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (_folder, path) = file(example);
    let config = load(inputs(&[], &[], Some(&path))).unwrap().config;
    assert!(config.database_url.is_some());
    assert_eq!(config.s3.unwrap().endpoint.as_deref(), Some("https://s3.example.org"));
}
