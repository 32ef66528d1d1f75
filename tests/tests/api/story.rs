//! A story in which every operation that is served happens once well, and where it can, once for each kind of
//! refusal.

use packhouse_tests::image::Parcel as _;
use packhouse_tests::{Caller, House, Image};
use serde_json::{Value, json};

/// One call and its answer.
pub(crate) struct Seen {
    pub(crate) who: &'static str,
    pub(crate) method: String,
    /// The path as the description writes it.
    pub(crate) form: String,
    pub(crate) expected: u16,
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Everything a person may let a token do.
const ALL: &str = "repo,delete_repo,admin:org,user,read:packages,write:packages,delete:packages";

struct Scene {
    seen: Vec<Seen>,
    people: Vec<(&'static str, Caller)>,
}

impl Scene {
    /// Calls `METHOD /path/as/described`; `values` stand in for the braces, in their order, and a query may follow.
    fn call(
        &mut self,
        who: &'static str,
        line: &str,
        values: &[&str],
        body: Option<Value>,
        expected: u16,
    ) -> Value {
        let (method, form) = line.split_once(' ').expect("a method and a path");
        let (form, query) =
            form.split_once('?').map_or((form, String::new()), |(form, query)| (form, format!("?{query}")));
        let mut path = String::new();
        let mut values = values.iter();
        for segment in form.split('/').skip(1) {
            let value = if segment.starts_with('{') {
                values.next().expect("a value for each brace")
            } else {
                segment
            };
            path.push('/');
            path.push_str(&value.replace('/', "%2F"));
        }
        assert!(values.next().is_none(), "too many values for {line}");
        let url = format!("/api/v3{}{query}", if form == "/" { "" } else { &path });
        let (_, caller) = self.people.iter().find(|(name, _)| *name == who).expect("somebody");
        let bytes = body.map(|body| body.to_string()).unwrap_or_default();
        let answer = caller.send_bytes(method, &url, "application/json", bytes.as_bytes());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        self.seen.push(Seen {
            who,
            method: method.to_owned(),
            form: form.to_owned(),
            expected,
            status: answer.status,
            body: text.clone(),
        });
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn get(&mut self, who: &'static str, form: &str, values: &[&str], expected: u16) -> Value {
        self.call(who, &format!("GET {form}"), values, None, expected)
    }
}

pub(crate) fn tell(house: &House) -> Vec<Seen> {
    let mut people = vec![("nobody", house.nobody())];
    for name in ["mona", "hubot", "octocat", "stranger"] {
        house.operator(["user", "create", name]);
        people.push((name, house.caller(&house.token(name, ALL))));
    }
    let mona = house.token("mona", ALL);
    house.organization("acme", &mona);
    people.push(("a reader of packages", house.caller(&house.token("mona", "read:packages"))));
    people.push(("a token without scopes", house.caller(&house.token("mona", "gist"))));
    people.push(("a wrong token", house.nobody().with_bearer("phr_0123456789abcdefghijklmnopqrstuvwxyz")));
    let mut scene = Scene { seen: Vec::new(), people };
    meta(&mut scene);
    users(&mut scene);
    organizations(&mut scene);
    teams(&mut scene);
    repositories(&mut scene);
    packages(&mut scene, house);
    endings(&mut scene);
    scene.seen
}

fn meta(scene: &mut Scene) {
    for form in ["/", "/meta", "/versions", "/rate_limit"] {
        scene.get("nobody", form, &[], 200);
        scene.get("mona", form, &[], 200);
    }
    scene.get("a wrong token", "/", &[], 401);
}

fn users(scene: &mut Scene) {
    let me = scene.get("mona", "/user", &[], 200);
    assert_eq!(me["login"], "mona", "{me}");
    scene.get("nobody", "/user", &[], 401);
    scene.get("a wrong token", "/user", &[], 401);
    let changed =
        scene.call("mona", "PATCH /user", &[], Some(json!({ "name": "Mona Lisa", "bio": "Paints." })), 200);
    assert_eq!(changed["name"], "Mona Lisa", "{changed}");
    scene.call("mona", "PATCH /user", &[], Some(json!({ "site_admin": true })), 422);
    scene.call("a token without scopes", "PATCH /user", &[], Some(json!({ "name": "Eve" })), 403);
    let user = scene.get("nobody", "/users/{username}", &["mona"], 200);
    assert_eq!(user["name"], "Mona Lisa", "{user}");
    scene.get("mona", "/users/{username}", &["nobody-of-this-name"], 404);
}

fn organizations(scene: &mut Scene) {
    let acme = scene.get("mona", "/orgs/{org}", &["acme"], 200);
    assert_eq!(acme["login"], "acme", "{acme}");
    scene.get("stranger", "/orgs/{org}", &["acme"], 200);
    scene.get("stranger", "/orgs/{org}", &["no-such-organization"], 404);
    let policy = json!({ "description": "Anvils.", "default_repository_permission": "read" });
    scene.call("mona", "PATCH /orgs/{org}", &["acme"], Some(policy), 200);
    scene.call(
        "mona",
        "PATCH /orgs/{org}",
        &["acme"],
        Some(json!({ "default_repository_permission": "some" })),
        422,
    );

    let member = scene.call("mona", "PUT /orgs/{org}/memberships/{username}", &["acme", "hubot"], None, 200);
    assert_eq!((&member["role"], &member["state"]), (&json!("member"), &json!("active")), "{member}");
    let admin = Some(json!({ "role": "admin" }));
    scene.call("mona", "PUT /orgs/{org}/memberships/{username}", &["acme", "octocat"], admin.clone(), 200);
    scene.call("hubot", "PUT /orgs/{org}/memberships/{username}", &["acme", "stranger"], admin.clone(), 403);
    scene.call(
        "mona",
        "PUT /orgs/{org}/memberships/{username}",
        &["acme", "hubot"],
        Some(json!({ "role": "king" })),
        422,
    );
    scene.get("hubot", "/orgs/{org}/memberships/{username}", &["acme", "mona"], 200);
    scene.get("mona", "/orgs/{org}/memberships/{username}", &["acme", "stranger"], 404);
    let members = scene.get("hubot", "/orgs/{org}/members", &["acme"], 200);
    assert_eq!(members.as_array().map(Vec::len), Some(3), "{members}");
    scene.get("hubot", "/orgs/{org}/members/{username}", &["acme", "mona"], 204);
    scene.get("hubot", "/orgs/{org}/members/{username}", &["acme", "stranger"], 404);
    scene.get("hubot", "/user/memberships/orgs", &[], 200);
    scene.get("hubot", "/user/memberships/orgs/{org}", &["acme"], 200);
    scene.get("stranger", "/user/memberships/orgs/{org}", &["acme"], 404);
    scene.call(
        "hubot",
        "PATCH /user/memberships/orgs/{org}",
        &["acme"],
        Some(json!({ "state": "active" })),
        200,
    );
    let mine = scene.get("hubot", "/user/orgs", &[], 200);
    assert_eq!(mine[0]["login"], "acme", "{mine}");
    scene.get("nobody", "/user/orgs", &[], 401);
    scene.get("mona", "/users/{username}/orgs", &["hubot"], 200);
}

fn teams(scene: &mut Scene) {
    let team = json!({ "name": "Core Team", "description": "Who decides.", "privacy": "closed" });
    let core = scene.call("mona", "POST /orgs/{org}/teams", &["acme"], Some(team.clone()), 201);
    assert_eq!(core["slug"], "core-team", "{core}");
    scene.call("mona", "POST /orgs/{org}/teams", &["acme"], Some(team), 422);
    scene.call("mona", "POST /orgs/{org}/teams", &["acme"], Some(json!({})), 422);
    scene.call("hubot", "POST /orgs/{org}/teams", &["acme"], Some(json!({ "name": "Rebels" })), 403);
    let under = json!({ "name": "Night Shift", "parent_team_id": core["id"] });
    scene.call("mona", "POST /orgs/{org}/teams", &["acme"], Some(under), 201);
    let all = scene.get("hubot", "/orgs/{org}/teams", &["acme"], 200);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    scene.get("hubot", "/orgs/{org}/teams/{team_slug}", &["acme", "core-team"], 200);
    scene.get("hubot", "/orgs/{org}/teams/{team_slug}", &["acme", "no-such-team"], 404);
    scene.get("stranger", "/orgs/{org}/teams/{team_slug}", &["acme", "core-team"], 404);
    let below = scene.get("hubot", "/orgs/{org}/teams/{team_slug}/teams", &["acme", "core-team"], 200);
    assert_eq!(below[0]["slug"], "night-shift", "{below}");
    let text = Some(json!({ "description": "Who decides, in the end." }));
    scene.call("mona", "PATCH /orgs/{org}/teams/{team_slug}", &["acme", "core-team"], text.clone(), 200);
    scene.call("hubot", "PATCH /orgs/{org}/teams/{team_slug}", &["acme", "core-team"], text, 403);

    let membership = "/orgs/{org}/teams/{team_slug}/memberships/{username}";
    let hubot = ["acme", "core-team", "hubot"];
    scene.call("mona", &format!("PUT {membership}"), &hubot, Some(json!({ "role": "maintainer" })), 200);
    scene.call("mona", &format!("PUT {membership}"), &["acme", "core-team", "stranger"], None, 422);
    scene.get("hubot", membership, &hubot, 200);
    scene.get("hubot", membership, &["acme", "core-team", "octocat"], 404);
    let members = scene.get("hubot", "/orgs/{org}/teams/{team_slug}/members", &["acme", "core-team"], 200);
    assert_eq!(members[0]["login"], "hubot", "{members}");
    scene.get("hubot", "/user/teams", &[], 200);
}

fn repositories(scene: &mut Scene) {
    let new = json!({ "name": "anvil", "description": "Heavy.", "private": true });
    let made = scene.call("mona", "POST /orgs/{org}/repos", &["acme"], Some(new.clone()), 201);
    assert_eq!((&made["full_name"], &made["private"]), (&json!("acme/anvil"), &json!(true)), "{made}");
    scene.call("mona", "POST /orgs/{org}/repos", &["acme"], Some(new.clone()), 422);
    scene.call("mona", "POST /orgs/{org}/repos", &["acme"], Some(json!({ "name": "a b/c" })), 422);
    scene.call("mona", "POST /orgs/{org}/repos", &["acme"], Some(json!({ "name": "open" })), 201);
    scene.call("stranger", "POST /orgs/{org}/repos", &["acme"], Some(new), 404);
    scene.call("mona", "POST /user/repos", &[], Some(json!({ "name": "sketch" })), 201);
    scene.call("nobody", "POST /user/repos", &[], Some(json!({ "name": "sketch" })), 401);
    scene.get("mona", "/user/repos", &[], 200);
    scene.get("nobody", "/user/repos", &[], 401);
    scene.get("mona", "/orgs/{org}/repos", &["acme"], 200);
    scene.get("nobody", "/users/{username}/repos", &["mona"], 200);
    scene.get("mona", "/repos/{owner}/{repo}", &["acme", "anvil"], 200);
    scene.get("nobody", "/repos/{owner}/{repo}", &["acme", "open"], 200);
    scene.get("nobody", "/repos/{owner}/{repo}", &["acme", "anvil"], 404);
    scene.get("stranger", "/repos/{owner}/{repo}", &["acme", "anvil"], 404);
    let text = Some(json!({ "description": "Heavier." }));
    scene.call("mona", "PATCH /repos/{owner}/{repo}", &["acme", "anvil"], text.clone(), 200);
    scene.call("hubot", "PATCH /repos/{owner}/{repo}", &["acme", "anvil"], text.clone(), 403);
    scene.call("stranger", "PATCH /repos/{owner}/{repo}", &["acme", "anvil"], text, 404);

    let one = "/repos/{owner}/{repo}/collaborators/{username}";
    let octocat = ["acme", "anvil", "octocat"];
    scene.call("mona", &format!("PUT {one}"), &octocat, Some(json!({ "permission": "maintain" })), 204);
    scene.call("mona", &format!("PUT {one}"), &octocat, Some(json!({ "permission": "rule" })), 422);
    scene.get("mona", one, &octocat, 204);
    scene.get("mona", one, &["acme", "anvil", "stranger"], 404);
    scene.get("mona", "/repos/{owner}/{repo}/collaborators", &["acme", "anvil"], 200);
    let form = "/repos/{owner}/{repo}/collaborators/{username}/permission";
    scene.get("mona", form, &octocat, 200);
    scene.call("mona", &format!("DELETE {one}"), &octocat, None, 204);

    let team = "/orgs/{org}/teams/{team_slug}/repos/{owner}/{repo}";
    let anvil = ["acme", "core-team", "acme", "anvil"];
    scene.call("mona", &format!("PUT {team}"), &anvil, Some(json!({ "permission": "push" })), 204);
    scene.get("mona", team, &anvil, 204);
    scene.get("mona", "/orgs/{org}/teams/{team_slug}/repos", &["acme", "core-team"], 200);
    scene.get("mona", "/repos/{owner}/{repo}/teams", &["acme", "anvil"], 200);
    scene.call("mona", &format!("DELETE {team}"), &anvil, None, 204);
    scene.get("mona", team, &anvil, 404);
}

fn packages(scene: &mut Scene, house: &House) {
    let owner = house.token("mona", ALL);
    let door = house.caller(&owner);
    for (base, values, package) in [
        ("/user", vec![], "mona/app"),
        ("/users/{username}", vec!["mona"], "mona/tools/lathe"),
        ("/orgs/{org}", vec!["acme"], "acme/tools/forge"),
    ] {
        let (first, second) = (Image::random(1000), Image::random(1000));
        door.push(package, "v1", &first);
        door.push(package, "v2", &second);
        let name = package.split_once('/').expect("a namespace").1;
        let of = |more: &[&'static str]| -> Vec<&str> {
            values.iter().copied().chain(more.iter().copied()).collect()
        };
        let list = format!("{base}/packages");
        let typed = format!("{list}?package_type=container");
        let found = scene.get("mona", &typed, &of(&[]), 200);
        assert!(found.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name)), "{found}");
        scene.get("mona", &list, &of(&[]), 400);
        scene.get("nobody", &typed, &of(&[]), 401);
        scene.get("a token without scopes", &typed, &of(&[]), 403);

        let one = format!("{base}/packages/{{package_type}}/{{package_name}}");
        let mut at: Vec<&str> = of(&["container"]);
        at.push(name);
        let package = scene.get("mona", &one, &at, 200);
        assert_eq!(
            (&package["visibility"], &package["version_count"]),
            (&json!("private"), &json!(2)),
            "{package}"
        );
        let missing: Vec<&str> = of(&["container", "no-such-package"]);
        scene.get("mona", &one, &missing, 404);
        if base != "/user" {
            scene.get("stranger", &one, &at, 404);
        }
        scene.get("nobody", &one, &at, 401);

        let versions = format!("{one}/versions");
        let all = scene.get("mona", &versions, &at, 200);
        assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
        assert_eq!(all[0]["metadata"]["container"]["tags"], json!(["v2"]), "the newest comes first: {all}");
        assert_eq!(all[1]["name"], first.root().digest.as_str(), "{all}");
        let id = all[1]["id"].to_string();
        let mut version = at.clone();
        version.push(&id);
        let single = format!("{versions}/{{package_version_id}}");
        scene.get("mona", &single, &version, 200);
        let mut unknown = at.clone();
        unknown.push("999999999");
        scene.get("mona", &single, &unknown, 404);
        scene.call("mona", &format!("DELETE {single}"), &unknown, None, 404);
        scene.call("a reader of packages", &format!("DELETE {single}"), &version, None, 403);
        scene.call("mona", &format!("DELETE {single}"), &version, None, 204);
        scene.get("mona", &single, &version, 404);
        let gone = scene.get("mona", &format!("{versions}?state=deleted"), &at, 200);
        assert_eq!(gone[0]["id"].to_string(), id, "{gone}");
        scene.call("a reader of packages", &format!("POST {single}/restore"), &version, None, 403);
        scene.call("mona", &format!("POST {single}/restore"), &version, None, 204);
        scene.get("mona", &single, &version, 200);
        scene.call("a reader of packages", &format!("DELETE {one}"), &at, None, 403);
        scene.call("mona", &format!("DELETE {one}"), &at, None, 204);
        scene.get("mona", &one, &at, 404);
        scene.call("a reader of packages", &format!("POST {one}/restore"), &at, None, 403);
        scene.call("mona", &format!("POST {one}/restore"), &at, None, 204);
        let back = scene.get("mona", &one, &at, 200);
        assert_eq!(back["version_count"], 2, "{back}");
        scene.get("mona", &format!("{base}/docker/conflicts"), &of(&[]), 200);
    }
    for (base, name) in [("/users/{username}", "mona"), ("/organizations/{org}", "acme")] {
        scene.get("mona", &format!("{base}/settings/billing/usage"), &[name], 200);
        scene.get("mona", &format!("{base}/settings/billing/usage/summary"), &[name], 200);
        scene.get("stranger", &format!("{base}/settings/billing/usage"), &[name], 404);
    }
    for (base, name) in [("/users/{username}", "mona"), ("/orgs/{org}", "acme")] {
        scene.get("mona", &format!("{base}/settings/billing/packages"), &[name], 200);
        scene.get("mona", &format!("{base}/settings/billing/shared-storage"), &[name], 200);
    }
}

fn endings(scene: &mut Scene) {
    let membership = "DELETE /orgs/{org}/teams/{team_slug}/memberships/{username}";
    scene.call("mona", membership, &["acme", "core-team", "hubot"], None, 204);
    scene.call("mona", "DELETE /orgs/{org}/teams/{team_slug}", &["acme", "night-shift"], None, 204);
    scene.call("hubot", "DELETE /repos/{owner}/{repo}", &["acme", "anvil"], None, 403);
    scene.call("mona", "DELETE /repos/{owner}/{repo}", &["acme", "anvil"], None, 204);
    scene.call("mona", "DELETE /orgs/{org}/members/{username}", &["acme", "hubot"], None, 204);
    scene.call("stranger", "DELETE /orgs/{org}/memberships/{username}", &["acme", "octocat"], None, 404);
    scene.call("mona", "DELETE /orgs/{org}/memberships/{username}", &["acme", "octocat"], None, 204);
    scene.call("mona", "DELETE /orgs/{org}/memberships/{username}", &["acme", "mona"], None, 403);
    scene.call("stranger", "DELETE /orgs/{org}", &["acme"], None, 403);
    scene.call("mona", "DELETE /orgs/{org}", &["acme"], None, 202);
}
