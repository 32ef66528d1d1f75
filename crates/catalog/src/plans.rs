use crate::sql::Statement;
#[test]
fn dump() {
    let c = rusqlite::Connection::open_in_memory().unwrap();
    let mut c = crate::connection::Connection::sqlite(c, None);
    let _ = &mut c;
    let f = tempfile::tempdir().unwrap();
    let p = f.path().join("x");
    let mut c = crate::connection::Connection::sqlite(rusqlite::Connection::open(&p).unwrap(), None);
    crate::schema::migrate(&mut c, crate::schema::Dialect::Sqlite).unwrap();
    let raw = rusqlite::Connection::open(&p).unwrap();
    println!("{}", rusqlite::version());
    let all: Vec<&Statement> = vec![vec![ALL]crate::accounts::ACCOUNT_BY_NAME,vec![ALL]crate::accounts::ACCOUNTS,vec![ALL]crate::accounts::INSERT_ACCOUNT,vec![ALL]crate::accounts::SET_SITE_ADMIN,vec![ALL]crate::accounts::SUSPEND,vec![ALL]crate::accounts::MEMBERS,vec![ALL]crate::accounts::PUT_MEMBER,vec![ALL]crate::accounts::REMOVE_MEMBER,vec![ALL]crate::accounts::OWNERS,vec![ALL]crate::blobs::READABLE_BLOB,vec![ALL]crate::blobs::LINKED,vec![ALL]crate::blobs::LINK,vec![ALL]crate::blobs::UNLINK,vec![ALL]crate::blobs::LOCK_BLOB,vec![ALL]crate::blobs::INSERT_BLOB,vec![ALL]crate::blobs::HOLDER,vec![ALL]crate::blobs::PUT_TRASH,vec![ALL]crate::blobs::TRASH_DUE,vec![ALL]crate::blobs::REMOVE_TRASH,vec![ALL]crate::facts::CALLER_BY_HASH,vec![ALL]crate::facts::CALLER_BY_TOKEN,vec![ALL]crate::facts::NAMESPACE,vec![ALL]crate::facts::PACKAGE,vec![ALL]crate::facts::LOCK_PACKAGE,vec![ALL]crate::manifests::MANIFEST_BY_DIGEST,vec![ALL]crate::manifests::MANIFEST_BY_TAG,vec![ALL]crate::manifests::MANIFEST_HEAD_BY_DIGEST,vec![ALL]crate::manifests::MANIFEST_HEAD_BY_TAG,vec![ALL]crate::manifests::MANIFEST_ID,vec![ALL]crate::manifests::INSERT_MANIFEST,vec![ALL]crate::manifests::INSERT_REFS,vec![ALL]crate::manifests::LIVE_VERSION,vec![ALL]crate::manifests::INSERT_VERSION,vec![ALL]crate::manifests::SET_VERSION_MANIFEST,vec![ALL]crate::manifests::DELETE_VERSION,vec![ALL]crate::packages::INSERT_PACKAGE,vec![ALL]crate::packages::SET_VISIBILITY,vec![ALL]crate::packages::PUT_GRANT,vec![ALL]crate::packages::REMOVE_GRANT,vec![ALL]crate::packages::GRANTS,vec![ALL]crate::packages::PACKAGES,vec![ALL]crate::packages::PACKAGES_OF,vec![ALL]crate::packages::PATHS,vec![ALL]crate::packages::PATHS_VISIBLE,vec![ALL]crate::referrers::REFERRERS,vec![ALL]crate::settings::SETTING,vec![ALL]crate::settings::PUT_SETTING,vec![ALL]crate::settings::LOCK_SETTINGS,vec![ALL]crate::settings::PING,vec![ALL]crate::tags::TAGS,vec![ALL]crate::tags::OPEN_TAG,vec![ALL]crate::tags::CLOSE_TAG,vec![ALL]crate::tags::CLOSE_TAG_BY_NAME,vec![ALL]crate::tags::CLOSE_TAGS_OF,vec![ALL]crate::tags::INSERT_TAG,vec![ALL]crate::tags::HAS_VERSION,vec![ALL]crate::tokens::INSERT_TOKEN,vec![ALL]crate::tokens::TOKENS,vec![ALL]crate::tokens::TOKENS_OF,vec![ALL]crate::tokens::REVOKE_TOKEN,vec![ALL]crate::tokens::REVOKE_CONFIGURED,vec![ALL]crate::tokens::REVIVE_CONFIGURED,vec![ALL]crate::tokens::SIGNING_KEYS,vec![ALL]crate::tokens::INSERT_SIGNING_KEY,vec![ALL]crate::uploads::INSERT_UPLOAD,vec![ALL]crate::uploads::UPLOAD,vec![ALL]crate::uploads::RECORD_PART,vec![ALL]crate::uploads::FINISH_UPLOAD,vec![ALL]crate::uploads::REMOVE_UPLOAD,vec![ALL]crate::uploads::REMOVE_EXPIRED];
    for s in all {
        println!("## {}", s.name);
        let mut st = raw.prepare(&format!("EXPLAIN QUERY PLAN {}", s.sqlite())).unwrap();
        let mut rows = st.raw_query();
        while let Some(r) = rows.next().unwrap() { println!("   {}", r.get::<_, String>(3).unwrap()); }
    }
}
