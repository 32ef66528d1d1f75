//! Why somebody may do something, or why not, is told to who administers the site, and to nobody else.

use packhouse_tests::{House, Image};

#[test]
fn who_administers_the_site_is_told_why_somebody_may() {
    let house = House::start();
    for name in ["mona", "hubot"] {
        house.operator(["user", "create", name]);
    }
    let mona = house.token("mona", "read:packages,write:packages");
    house.organization("acme", &mona);
    house.operator(["org", "add-member", "acme", "hubot"]);
    house.operator(["team", "create", "acme", "core"]);
    house.operator(["team", "add-member", "acme", "core", "hubot"]);
    house.caller(&mona).push("acme/app", "v1", &Image::random(16));
    house.operator(["package", "grant", "acme/app", "team:core", "write"]);

    let admin = house.caller(&house.admin());
    let path = "/api/v3/admin/access?user=hubot&package=acme/app&action=";
    let push = admin.get(&format!("{path}push")).json();
    assert_eq!(push["allowed"], true, "{push}");
    assert_eq!(push["roles"][0]["because"], "the team acme/core has the role write", "{push}");
    let delete = admin.get(&format!("{path}delete")).json();
    assert_eq!(delete["allowed"], false, "{delete}");
    let sentence = "hubot may not delete acme/app: the highest role is write, and it takes admin";
    assert_eq!(delete["decision"], sentence, "{delete}");
    assert_eq!(house.operator(["access", "explain", "hubot", "acme/app", "--action", "delete"]), delete);

    assert_eq!(house.caller(&mona).get(&format!("{path}push")).status, 404);
    assert_eq!(house.nobody().get(&format!("{path}push")).status, 401);
    assert_eq!(admin.get("/api/v3/admin/access?user=hubot").status, 400);
}
