//! The table of permissions at this door: who may pull, push and delete is answered as it says, with each kind of
//! token, through each link of a package to a repository.

#[path = "../../../access/tests/decisions/permissions/decided.rs"]
mod decided;
#[path = "../../../access/tests/decisions/permissions/table.rs"]
mod table;
#[path = "../../../access/tests/decisions/permissions/world.rs"]
mod world;

use crate::house::{Caller, House};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use table::{Carries, Kind};
use world::{World, owner_of};

/// The answer that a word of the table stands for, where `done` is that of what may be done.
fn answer(word: &str, done: &str) -> String {
    match word {
        "yes" => done,
        "sign-in" | "bearer" => "401 UNAUTHORIZED",
        "none" => "404 NAME_UNKNOWN",
        "role" | "limit" | "-read" | "-write" | "-delete" => "403 DENIED",
        other => panic!("no answer of the protocol: {other}"),
    }
    .to_owned()
}

/// Who shows a token. Bearer tokens come from the token endpoint, which gives what of the asked there is to give:
/// that bounds no more than the table says, since it says last what the bearer token does not carry.
async fn showing(house: &House, name: &str, word: &'static str, path: &str) -> Caller {
    let token = table::token(word);
    let holder = match token.kind {
        Kind::Nobody => house.anonymous(),
        _ => {
            let behind = if token.carries.is_some() { World::behind(word) } else { word };
            house.basic("anyone", &World::secret(name, behind))
        }
    };
    let scope = match token.carries {
        None => return holder,
        Some(Carries::Here(actions)) if actions.is_empty() => return holder.bearer(&[]).await,
        Some(Carries::Here(actions)) => format!("repository:{path}:{}", actions.join(",")),
        Some(Carries::Other) => format!("repository:{path}-other:pull,push,delete"),
        Some(Carries::Catalog) => panic!("not about a package"),
    };
    holder.bearer(&[&scope]).await
}

#[tokio::test]
async fn everyone_pulls_pushes_and_deletes_as_the_table_says() {
    let house = House::new().await;
    let outside = rusqlite::Connection::open(house.catalog_file()).unwrap();
    let hash = |text: &str| Sha256::digest(text.as_bytes()).into();
    World::new(false, hash, |text| outside.execute_batch(text).unwrap());
    let acts = table::part("actions").acts;
    let said = |case: &table::Case, act| case.expected[acts.iter().position(|known| *known == act).unwrap()];
    let expected: HashMap<_, _> =
        table::actions().into_iter().map(|case| (case.keys.clone(), case)).collect();
    let (mut differences, mut asked) = (Vec::new(), 0);
    for role in table::roles() {
        let &[place, package, link, by] = role.keys.as_slice() else { panic!("four columns") };
        if ["operator", "worker"].contains(&by) {
            continue;
        }
        let path = format!("{}/{package}", owner_of(place, link));
        let (holds, _) = role.expected[0].split_once('/').unwrap_or(("none", ""));
        // Every token once; what is inherited meets them where they are read, so a few say enough.
        let tokens = table::tokens_of(by).iter().filter(|token| {
            link == "none"
                || by == "anonymous"
                || ["all", "read+delete", "fine:package-write"].contains(token)
        });
        for token in tokens {
            let case = &expected[&vec![package, holds, *token]];
            let caller = showing(&house, &format!("{place}-{link}-{by}"), token, &path).await;
            let mut compare = |act: &'static str, found: String, done: &str| {
                let expected = answer(said(case, act), done);
                if found != expected {
                    let (line, keys) = (case.line, role.keys.join(" "));
                    differences.push(format!(
                        "line {line}: {keys} {token}: {act}: expected {expected}, found {found}"
                    ));
                }
                asked += 1;
            };
            // Nothing is there to get and to delete, which is said to who may.
            let manifest = format!("/v2/{path}/manifests/nothing");
            compare("pull", caller.get(&manifest).await.says(), "404 MANIFEST_UNKNOWN");
            compare("delete", caller.delete(&manifest).await.says(), "404 MANIFEST_UNKNOWN");
            // Pushing to what is absent makes it: that is another part of the table.
            if package != "absent" {
                let pushed = caller.post(&format!("/v2/{path}/blobs/uploads/")).await;
                compare("push", pushed.says(), "202");
            }
        }
    }
    let count = differences.len();
    differences.truncate(40);
    assert_eq!(count, 0, "differences:\n{}", differences.join("\n"));
    assert!(asked > 12_000, "only {asked} requests");
}
