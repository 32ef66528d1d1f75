//! Fine-grained tokens and robots at the registry's door.

use crate::house::{House, Person};
use packhouse_service::operator::{Answer as Told, Command, MachineCommand};

/// Somebody with the token that this command makes.
async fn with_token(house: &House, user: &str, command: MachineCommand) -> crate::house::Caller {
    let Told::Token { token, .. } = house.operate(Command::Machines(command)).await else {
        panic!("no token")
    };
    house.basic(user, &token)
}

fn limited(user: &str, packages: &[&str], owners: &[&str], permission: &str) -> MachineCommand {
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    MachineCommand::TokenCreateFineGrained {
        user: user.to_owned(),
        name: "ci".to_owned(),
        packages: owned(packages),
        owners: owned(owners),
        permission: permission.to_owned(),
        expires_seconds: None,
    }
}

const BLOB: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test]
async fn a_token_for_an_owner_pushes_there_new_packages_too_and_nowhere_else() {
    let house = House::new().await;
    let mona: Person = house.user("mona").await;
    house.organization("acme", "mona").await;
    mona.push_blob("mona/app", "x").await;
    let ci = with_token(&house, "mona", limited("mona", &[], &["acme"], "write")).await;
    // With the token itself, and with a bearer token, as clients do.
    let bearer = ci.bearer(&["repository:acme/new:pull,push,delete"]).await;
    for (caller, path) in [(&ci, "acme/one"), (&bearer, "acme/new")] {
        let begun = caller.post(&format!("/v2/{path}/blobs/uploads/")).await;
        assert_eq!(begun.says(), "202", "{path}: {begun}");
        let delete = caller.delete(&format!("/v2/{path}/blobs/{BLOB}")).await;
        assert!(["401 UNAUTHORIZED", "403 DENIED"].contains(&delete.says().as_str()), "{delete}");
    }
    let elsewhere = ci.bearer(&["repository:mona/app:pull,push"]).await;
    for caller in [&ci, &elsewhere] {
        assert_eq!(caller.post("/v2/mona/app/blobs/uploads/").await.says().get(..3), Some("404"));
        assert_eq!(caller.post("/v2/mona/new/blobs/uploads/").await.says().get(..3), Some("404"));
    }
}

#[tokio::test]
async fn a_token_for_one_package_may_there_what_it_was_given() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    mona.push_blob("mona/app", "x").await;
    mona.push_blob("mona/other", "x").await;
    let ci = with_token(&house, "mona", limited("mona", &["mona/app"], &[], "read")).await;
    assert_eq!(
        ci.get("/v2/mona/app/tags/list").await.status,
        mona.get("/v2/mona/app/tags/list").await.status
    );
    let push = ci.post("/v2/mona/app/blobs/uploads/").await;
    assert_eq!(push.says(), "403 DENIED");
    assert!(push.message().contains("was given read on `mona/app`, this takes write"), "{push}");
    assert_eq!(ci.get("/v2/mona/other/tags/list").await.says().get(..3), Some("404"));
}

#[tokio::test]
async fn a_robot_pushes_to_its_organization_as_its_role_allows() {
    let house = House::new().await;
    let mona = house.user("mona").await;
    house.organization("acme", "mona").await;
    mona.push_blob("acme/app", "x").await;
    for (name, role, says) in
        [("reader", "read", "403 DENIED"), ("writer", "write", "202"), ("plain", "none", "404")]
    {
        let (org, token_name) = ("acme".to_owned(), "ci".to_owned());
        let role = Some(role.to_owned()).filter(|role| role != "none");
        let create =
            MachineCommand::RobotCreate { org: org.clone(), name: name.into(), role, description: None };
        house.operate(Command::Machines(create)).await;
        let scopes = vec!["write:packages".to_owned()];
        let token =
            MachineCommand::RobotToken { org, name: name.into(), token_name, scopes, expires_seconds: None };
        let robot = with_token(&house, &format!("acme+{name}"), token).await;
        let begun = robot.post("/v2/acme/app/blobs/uploads/").await;
        assert!(begun.says().starts_with(says), "{name}: {begun}");
        // A new package takes a role of write; another's namespace is none of its business.
        let new = robot.post(&format!("/v2/acme/new-{name}/blobs/uploads/")).await;
        assert_eq!(new.status == 202, name == "writer", "{name}: {new}");
        assert_eq!(robot.post("/v2/mona/app/blobs/uploads/").await.status, 404);
    }
}
