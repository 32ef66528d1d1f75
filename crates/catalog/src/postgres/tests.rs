//! Sessions from inside.

use super::*;
use crate::test_database::Database;
use crate::warm::Warm;
use std::sync::Arc;

fn setting(database: &Database, name: &str) -> String {
    let Database::Postgres(database) = database else { unreachable!() };
    let mut client = connect(&Config::from_str(&database.url).unwrap()).unwrap();
    client.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0)
}

#[test]
fn a_commit_is_on_disk_whatever_the_database_says() {
    let Some(database) = Database::postgres() else { return };
    for (default, found) in [
        ("off", "on"),
        ("local", "on"),
        ("on", "on"),
        ("remote_write", "remote_write"),
        ("remote_apply", "remote_apply"),
    ] {
        let set = format!("ALTER DATABASE %I SET synchronous_commit = {default}");
        database.run(&format!("DO $$ BEGIN EXECUTE format('{set}', current_database()); END $$"));
        assert_eq!(setting(&database, "synchronous_commit"), found, "a stricter setting is kept");
    }
}

#[test]
fn a_session_does_not_wait_for_ever() {
    let Some(database) = Database::postgres() else { return };
    assert_eq!(setting(&database, "lock_timeout"), "30s");
    assert_eq!(setting(&database, "idle_in_transaction_session_timeout"), "1min");
    assert_eq!(setting(&database, "application_name"), "packhouse");
}

#[test]
fn an_address_that_is_none_is_an_error_without_its_password() {
    for url in ["postgres://mona:s3cr3t@host:port/x", "mysql://mona:s3cr3t@host/x", "nonsense"] {
        let (_jobs, work) = crossbeam_channel::bounded(1);
        let error = start(url, false, 1, None, &Arc::new(Warm::new(0, false)), &work).unwrap_err();
        assert!(matches!(error, CatalogError::Address(_)), "{error:?}");
        let mut chain = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(!chain.contains("s3cr3t"), "{chain}");
    }
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let (_jobs, work) = crossbeam_channel::bounded(1);
    // Nothing listens on port 1.
    let error = start("postgres://mona@127.0.0.1:1/x", false, 1, None, &Arc::new(Warm::new(0, false)), &work)
        .unwrap_err();
    assert!(matches!(error, CatalogError::Postgres { statement: "connect", .. }), "{error:?}");
}
