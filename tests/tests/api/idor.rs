//! What belongs to another tenant is not there, whichever way it is addressed.
//!
//! Two tenants have the same shapes. The administrator of one goes through every route of the server's own
//! document with objects of the other in each place of the path, and in the body. A route, a parameter or a
//! body that nobody has objects for is a failure, so that a new route cannot escape.

use packhouse_tests::{Answer, Caller, Catalog, House, Image, User};
use serde_json::{Map, Value, json};

const ALL: &str = "repo,delete_repo,admin:org,user,read:packages,write:packages,delete:packages";

/// Begins each private name of bob's; no answer to ann has one that she did not say herself.
const VEILED: &str = "veiled";

/// What [`VEILED`] becomes to ask for something that never was.
const ABSENT: &str = "absent";

/// An id that nothing has.
const NO_ID: i64 = 987_654_321;

/// Is each private description of bob's, and never said by ann.
const SECRET: &str = "For bob's eyes only.";

/// Fields that no body may ever take, whatever its schema comes to say.
const NEVER: &[&str] = &[
    "id",
    "node_id",
    "site_admin",
    "account_id",
    "owner_id",
    "created_at",
    "deleted_at",
    "suspended_at",
    "version_count",
    "token",
    "permissions",
];

/// Fields that only a body may take whose schema has them.
const RARELY: &[&str] =
    &["owner", "role", "login", "scopes", "permission", "namespace", "url", "no_such_field"];

/// What is refused with another status than 404 when something of bob's is in the path, and why.
const IN_PATHS: &[(&str, u16, &str)] = &[
    ("GET /orgs/{org}/members/{username}", 302, "GitHub sends whoever is no member to the public members"),
    ("DELETE /orgs/{org}", 403, "an organization is public by name, so that nothing is told by this"),
];

/// The same when it is only in the body: the path is found, and what is wrong in the body is told with 422.
const IN_BODIES: &[(&str, u16)] = &[
    ("POST /orgs/{org}/teams", 422),
    ("PATCH /orgs/{org}/teams/{team_slug}", 422),
    ("POST /user/tokens", 422),
];

/// Answers of 200 about bob: a list has nothing in it, and a profile is public by nature.
const PUBLIC: &[&str] = &[
    "GET /orgs/{org}",
    "GET /orgs/{org}/docker/conflicts",
    "GET /orgs/{org}/members",
    "GET /orgs/{org}/packages",
    "GET /orgs/{org}/repos",
    "GET /users/{username}",
    "GET /users/{username}/docker/conflicts",
    "GET /users/{username}/orgs",
    "GET /users/{username}/packages",
    "GET /users/{username}/repos",
];

/// Those of [`PUBLIC`] that are no lists.
const PROFILES: &[&str] = &["GET /orgs/{org}", "GET /users/{username}"];

/// Operations that do not succeed for their own tenant either, and why.
const IN_VAIN: &[(&str, u16, &str)] = &[
    ("GET /rate_limit", 404, "there are no limits in this house"),
    ("PUT /user/packages/{package_type}/{package_name}/access/teams/{team_slug}", 404, "a user has no teams"),
    (
        "DELETE /user/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        404,
        "a user has no teams",
    ),
    (
        "PUT /users/{username}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        404,
        "a user has no teams",
    ),
    (
        "DELETE /users/{username}/packages/{package_type}/{package_name}/access/teams/{team_slug}",
        404,
        "a user has no teams",
    ),
];

/// One operation of the document.
struct Route {
    method: String,
    form: String,
    /// The name of the schema of the body.
    body: Option<String>,
    /// The fields that this schema has.
    fields: Vec<String>,
    /// Parameters of the query without which the request is refused.
    query: Vec<String>,
    /// Whether deleted things are listed too.
    has_state: bool,
}

impl Route {
    fn line(&self) -> String {
        format!("{} {}", self.method, self.form)
    }

    /// Those of the path, then those of the query.
    fn params(&self) -> Vec<&str> {
        let in_path = self.form.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        in_path.chain(self.query.iter().map(String::as_str)).collect()
    }

    /// The path and query with values for the parameters, in their order.
    fn path(&self, values: &[String]) -> String {
        let mut values = values.iter();
        let mut path = String::from("/api/v3");
        for part in self.form.split('/').filter(|part| !part.is_empty()) {
            let value = if part.starts_with('{') { values.next().expect("a value") } else { part };
            path.push('/');
            path.push_str(&value.replace('/', "%2F"));
        }
        if self.method == "GET" {
            path.push_str("?package_type=container&per_page=100");
            for (name, value) in self.query.iter().zip(values) {
                path.push_str(&format!("&{name}={}", value.replace('+', "%2B")));
            }
        }
        path
    }

    /// The order in which all can succeed: what looks, what makes, what deletes; the innermost first.
    fn rank(&self) -> (usize, usize) {
        let kind = ["GET", "PATCH", "PUT", "POST", "DELETE"].iter().position(|method| *method == self.method);
        (kind.expect("a method of the API"), usize::MAX - self.form.matches('/').count())
    }

    /// Whether it is for who administers the site.
    fn for_admins(&self) -> bool {
        self.form.starts_with("/admin/")
    }

    fn about_nobody(&self) -> bool {
        matches!(self.form.as_str(), "/" | "/meta" | "/versions" | "/openapi.json" | "/rate_limit")
    }
}

fn routes(door: &Caller) -> Vec<Route> {
    let document = door.get("/api/v3/openapi.json").json();
    let mut routes = Vec::new();
    for (form, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let body = operation.get("requestBody").map(|body| {
                let reference = body["content"]["application/json"]["schema"]["$ref"].as_str();
                reference.expect("a named schema").rsplit('/').next().unwrap_or_default().to_owned()
            });
            let schema = body.as_ref().map(|name| &document["components"]["schemas"][name]["properties"]);
            let fields = schema.and_then(Value::as_object).map(|fields| fields.keys().cloned().collect());
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            routes.push(Route {
                method: method.to_uppercase(),
                form: form.clone(),
                body,
                fields: fields.unwrap_or_default(),
                query: required(&parameters),
                has_state: parameters.iter().any(|parameter| parameter["name"] == "state"),
            });
        }
    }
    assert!(routes.len() > 100, "the document has {} operations", routes.len());
    routes.sort_by_key(Route::rank);
    routes
}

/// What a query must have, but for the type of packages, which there is one of.
fn required(parameters: &[Value]) -> Vec<String> {
    let asked = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
    let names = asked.filter_map(|one| one["name"].as_str()).filter(|name| *name != "package_type");
    names.map(str::to_owned).collect()
}

/// A package with a version that is there and one that was deleted.
struct Package {
    name: String,
    /// The name of another one, which was deleted.
    gone: String,
    version: String,
    deleted: String,
    /// Of a rule about tags that nothing has.
    rule: String,
}

/// Everything that somebody has, with all names beginning with one word.
struct Tenant {
    user: &'static str,
    org: &'static str,
    /// Members of the organization: one with a role in everything, and one in the team.
    members: [&'static str; 2],
    word: &'static str,
    door: Caller,
    /// Who administers the site, for what is only for them.
    admin: Caller,
    team: i64,
    token: (String, User),
    robot_token: (String, User),
    /// Rules of the user and of the organization.
    rules: [String; 2],
    /// Of the user: for `/user` and for `/users/{username}`, and of the organization.
    packages: [Package; 3],
}

#[track_caller]
fn done(answer: &Answer, what: &str) -> Value {
    assert!(answer.status < 300, "{what}: {answer}");
    answer.json()
}

#[track_caller]
fn send(door: &Caller, line: &str, body: &Value) -> Value {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let path = format!("/api/v3{path}");
    done(&door.send_bytes(method, &path, "application/json", body.to_string().as_bytes()), line)
}

impl Tenant {
    fn settle(
        house: &House,
        [user, first, second]: [&'static str; 3],
        org: &'static str,
        word: &'static str,
    ) -> Self {
        for name in [user, first, second] {
            house.operator(["user", "create", name]);
        }
        let owner = house.token(user, ALL);
        house.organization(org, &owner);
        let door = house.caller(&owner);
        let about = format!("For {user}'s eyes only.");
        let call = |line: String, body: Value| send(&door, &line, &body);
        for member in [first, second] {
            call(format!("PUT /orgs/{org}/memberships/{member}"), json!({}));
        }
        let new = json!({ "name": format!("{word}-team"), "description": about, "privacy": "closed" });
        let team = call(format!("POST /orgs/{org}/teams"), new)["id"].as_i64().expect("an id");
        let under = json!({ "name": format!("{word}-shift"), "description": about, "parent_team_id": team });
        call(format!("POST /orgs/{org}/teams"), under);
        call(format!("PUT /orgs/{org}/teams/{word}-team/memberships/{second}"), json!({}));
        let repository = json!({ "name": format!("{word}-repo"), "description": about, "private": true });
        call(format!("POST /orgs/{org}/repos"), repository);
        let own = json!({ "name": format!("{word}-own"), "description": about, "private": true });
        call("POST /user/repos".to_owned(), own);
        call(format!("PUT /repos/{org}/{word}-repo/collaborators/{first}"), json!({}));
        call(format!("PUT /orgs/{org}/teams/{word}-team/repos/{org}/{word}-repo"), json!({}));
        let robot = json!({ "name": format!("{word}-bot"), "description": about, "permission": "write" });
        call(format!("POST /orgs/{org}/robots"), robot);
        let scopes =
            json!({ "name": format!("{word}-key"), "scopes": ["write:packages", "delete:packages"] });
        let robot_token = call(format!("POST /orgs/{org}/robots/{word}-bot/tokens"), scopes);
        let limits = [user, org].map(|owner| json!({ "owner": owner, "permission": "admin" }));
        let token =
            call("POST /user/tokens".to_owned(), json!({ "name": format!("{word}-fine"), "limits": limits }));
        let signed = |name: String, made: &Value| {
            let secret = made["token"].as_str().expect("the token").to_owned();
            (made["id"].to_string(), User { name, token: secret })
        };
        let rules = ["/user".to_owned(), format!("/orgs/{org}")].map(|base| ruled(&door, &base));
        let packages =
            [("/user", user, "mine", "own"), ("/user", user, "app", "own"), ("", org, "app", "repo")];
        let packages = packages.map(|(base, owner, name, repository)| {
            let base = if base.is_empty() { format!("/orgs/{org}") } else { base.to_owned() };
            let name = format!("{word}-{name}");
            let package = package(&door, &base, owner, &name, word);
            let at = format!("{base}/packages/container/{name}");
            let link = json!({ "repository": format!("{word}-{repository}") });
            call(format!("PUT {at}/repository"), link);
            let role = json!({ "role": "read" });
            call(format!("PUT {at}/access/users/{first}"), role.clone());
            call(format!("PUT {at}/access/repositories/{word}-{repository}"), role.clone());
            if owner == org {
                call(format!("PUT {at}/access/teams/{word}-team"), role);
            }
            package
        });
        Tenant {
            user,
            org,
            members: [first, second],
            word,
            team,
            token: signed(user.to_owned(), &token),
            robot_token: signed(format!("{org}+{word}-bot"), &robot_token),
            rules,
            packages,
            admin: house.caller(&house.admin()),
            door,
        }
    }

    fn door_to(&self, route: &Route) -> &Caller {
        if route.for_admins() { &self.admin } else { &self.door }
    }

    fn robot(&self) -> String {
        format!("{}+{}-bot", self.org, self.word)
    }

    /// What may stand for a parameter of a form: first what belongs there, then what else there is.
    fn values(&self, form: &str, param: &str) -> Option<Vec<String>> {
        let word = self.word;
        let of_user = form.starts_with("/user/") || form.starts_with("/users/");
        let package = match form {
            _ if form.starts_with("/user/") => &self.packages[0],
            _ if form.starts_with("/users/") => &self.packages[1],
            _ => &self.packages[2],
        };
        let mut values: Vec<String> = match param {
            "package_type" => vec!["container".to_owned()],
            "action" => vec!["pull".to_owned()],
            "user" => vec![self.user.to_owned(), self.robot()],
            "package" => {
                vec![format!("{}/{}", self.org, package.name), format!("{}/{}", self.org, package.gone)]
            }
            "org" | "owner" => vec![self.org.to_owned()],
            "username" if form.starts_with("/users/") => vec![self.user.to_owned()],
            "username" => {
                let member = self.members[usize::from(form.contains("/memberships/"))];
                vec![member.to_owned(), self.robot(), format!("{}-nobody", self.word)]
            }
            "grantee" => vec![self.members[0].to_owned(), self.robot()],
            "package_name" => vec![package.name.clone(), package.gone.clone()],
            "package_version_id" => vec![package.version.clone(), package.deleted.clone()],
            "rule_id" if form.contains("/packages/") => vec![package.rule.clone(), self.rules[1].clone()],
            "rule_id" if of_user => vec![self.rules[0].clone(), package.rule.clone()],
            "rule_id" => vec![self.rules[1].clone(), package.rule.clone()],
            "tag" => vec![format!("{word}-v2")],
            "team_slug" => vec![format!("{word}-team")],
            "repo" if form.contains("/packages/") && of_user => {
                vec![format!("{word}-own"), format!("{}/{word}-own", self.user)]
            }
            "repo" if form.contains("/packages/") => {
                vec![format!("{word}-repo"), format!("{}/{word}-repo", self.org)]
            }
            "repo" => vec![format!("{word}-repo")],
            "robot" => vec![format!("{word}-bot")],
            "token_id" if form.starts_with("/user/") => vec![self.token.0.clone()],
            "token_id" => vec![self.robot_token.0.clone(), self.token.0.clone()],
            _ => return None,
        };
        if form.ends_with(&format!("{{{param}}}/restore")) {
            values.reverse();
        }
        Some(values)
    }

    /// The values with which an operation works for this tenant.
    fn own(&self, route: &Route) -> Option<Vec<String>> {
        route.params().iter().map(|param| self.values(&route.form, param)?.into_iter().next()).collect()
    }

    /// Everything as its owner and the operator see it.
    fn everything(&self, house: &House, routes: &[Route]) -> Map<String, Value> {
        let mut seen = Map::new();
        for route in routes.iter().filter(|route| route.method == "GET" && !route.about_nobody()) {
            let Some(values) = self.own(route) else { continue };
            let path = route.path(&values);
            let deleted = route.has_state.then(|| format!("{path}&state=deleted"));
            for path in [path].into_iter().chain(deleted) {
                let answer = self.door_to(route).get(&path);
                assert!(answer.status < 300, "{path} as {}: {answer}", self.user);
                seen.insert(path, settled(answer.json()));
            }
        }
        let team = format!("{}-team", self.word);
        let repository = format!("{}/{}-repo", self.org, self.word);
        let package = format!("{}/{}", self.org, self.packages[2].name);
        for words in [
            ["org", "members", self.org].as_slice(),
            &["token", "list", self.user],
            &["token", "list", self.members[0]],
            &["robot", "list", self.org],
            &["team", "list", self.org],
            &["team", "members", self.org, &team],
            &["repo", "list", self.org],
            &["repo", "list", self.user],
            &["repo", "collaborators", &repository],
            &["package", "list", self.org],
            &["package", "list", self.user],
            &["package", "access", &package],
        ] {
            let listed = settled(house.operator(words.iter().copied()));
            assert!(
                words[0] == "token" || !matches!(&listed, Value::Array(all) if all.is_empty()),
                "{words:?}"
            );
            seen.insert(words.join(" "), listed);
        }
        for (list, names) in [("user", [self.user].as_slice()), ("user", &self.members), ("org", &[self.org])]
        {
            let all = house.operator([list, "list"]);
            let own = all.as_array().expect("a list").iter().filter(|one| {
                let one = one.to_string();
                names.iter().any(|name| one.contains(&format!("\"{name}\"")))
            });
            let own: Vec<Value> = own.cloned().map(settled).collect();
            assert_eq!(own.len(), names.len(), "{list} list: {all}");
            seen.insert(format!("{list} list {names:?}"), Value::Array(own));
        }
        seen
    }
}

fn package(door: &Caller, base: &str, owner: &str, name: &str, word: &str) -> Package {
    let path = format!("{owner}/{name}");
    // So that the tag has been somewhere else.
    door.push(&path, &format!("{word}-v2"), &Image::random(500));
    let mut ids = ["v1", "v2", "v3"].map(|tag| {
        door.push(&path, &format!("{word}-{tag}"), &Image::random(500));
        let listed = door.get(&format!("/api/v3{base}/packages/container/{name}/versions"));
        done(&listed, "versions")[0]["id"].to_string()
    });
    send(door, &format!("DELETE {base}/packages/container/{name}/versions/{}", ids[2]), &json!({}));
    let gone = format!("{name}-gone");
    door.push(&format!("{owner}/{gone}"), &format!("{word}-v1"), &Image::random(500));
    send(door, &format!("DELETE {base}/packages/container/{gone}"), &json!({}));
    Package {
        name: name.to_owned(),
        gone,
        version: std::mem::take(&mut ids[0]),
        deleted: std::mem::take(&mut ids[2]),
        rule: ruled(door, &format!("{base}/packages/container/{name}")),
    }
}

/// Makes a rule about tags that nothing has and a policy that drops nothing; gives the rule's number.
fn ruled(door: &Caller, base: &str) -> String {
    send(door, &format!("PUT {base}/retention"), &json!({ "keep_last": 50, "drop_rest": true }));
    let rule = json!({ "hold": "immutable", "pattern": "nothing-*" });
    send(door, &format!("POST {base}/rules"), &rule)["id"].to_string()
}

/// Without what looking alone changes.
fn settled(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !name.starts_with("last_used"));
            Value::Object(kept.map(|(name, value)| (name, settled(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(settled).collect()),
        other => other,
    }
}

/// Bodies for a schema.
struct Bodies {
    /// One that is well in a path of the same tenant.
    plain: Value,
    /// Those that name something of the other tenant.
    foreign: Vec<Value>,
    /// Those that would take what is the other's to oneself.
    grabbing: Vec<Value>,
}

/// `None`: a schema that nobody has thought of.
fn bodies(schema: &str, of: &Tenant, other: &Tenant) -> Option<Bodies> {
    let theirs = |name: &str| format!("{}-{name}", other.word);
    let limit = |key: &str, value: String| {
        let limits = [json!({ key: value, "permission": "read" })];
        json!({ "name": "tempting", "limits": limits })
    };
    let mut grabbing = Vec::new();
    let (plain, foreign) = match schema {
        "graphql-query" => {
            let query = |owner: &str, name: &str| {
                let query =
                    "query($o: String!, $n: String!) { repository(owner: $o, name: $n) { id description } }";
                json!({ "query": query, "variables": { "o": owner, "n": name } })
            };
            let own = query(of.org, &format!("{}-repo", of.word));
            (own, vec![query(other.org, &theirs("repo")), query(of.org, &theirs("repo"))])
        }
        "token-new" => {
            let package = |package: &Package, owner: &str| format!("{owner}/{}", package.name);
            let foreign = vec![
                limit("package", package(&other.packages[2], other.org)),
                limit("package", package(&other.packages[0], other.user)),
                limit("package", package(&other.packages[2], of.org)),
            ];
            (limit("owner", of.org.to_owned()), foreign)
        }
        "robot-new" => (json!({ "name": "helper" }), vec![]),
        "robot-change" | "organization-change" | "team-change" => {
            let plain = json!({ "description": "Changed." });
            let parent = vec![json!({ "parent_team_id": other.team })];
            (plain, if schema == "team-change" { parent } else { vec![] })
        }
        "robot-token-new" => (json!({ "name": "another", "scopes": ["read:packages"] }), vec![]),
        "package-change" => {
            grabbing.extend([json!({ "owner": of.org }), json!({ "owner": of.user, "name": "loot" })]);
            let owners = [other.org, other.user].map(|owner| json!({ "owner": owner }));
            (json!({ "visibility": "private" }), owners.to_vec())
        }
        "package-rule-new" => (json!({ "hold": "immutable", "pattern": "no-*" }), vec![]),
        "retention-policy" => (json!({ "keep_last": 60, "drop_rest": true }), vec![]),
        "package-version-change" => (json!({ "visibility": "private" }), vec![]),
        "package-access-change" => (json!({ "inherits_access": false }), vec![]),
        "package-role" => (json!({ "role": "write" }), vec![]),
        "package-link" => {
            let paths = [(other.org, "repo"), (other.user, "own"), (of.org, "repo"), (of.user, "own")];
            let links =
                paths.map(|(owner, name)| json!({ "repository": format!("{owner}/{}", theirs(name)) }));
            (Value::Null, links.to_vec())
        }
        "user-change" => (json!({ "bio": "Changed." }), vec![]),
        "org-membership-change"
        | "team-membership-change"
        | "team-repository-change"
        | "collaborator-change" => (json!({}), vec![]),
        "org-membership-acceptance" => (json!({ "state": "active" }), vec![]),
        "team-new" => {
            let foreign = vec![
                json!({ "name": "Plotters", "parent_team_id": other.team }),
                json!({ "name": "Plotters", "maintainers": [other.members[1]] }),
            ];
            (json!({ "name": "Newcomers" }), foreign)
        }
        "repository-new" => (json!({ "name": "fresh", "private": true }), vec![]),
        "repository-change" => (json!({ "description": "Changed." }), vec![]),
        _ => return None,
    };
    Some(Bodies { plain, foreign, grabbing })
}

/// The plain body of a route for its tenant; a link is to a repository of the package's owner.
fn plain_body(route: &Route, of: &Tenant, bodies: &Bodies) -> Value {
    match &bodies.plain {
        Value::Null if route.form.starts_with("/orgs/") => {
            json!({ "repository": format!("{}-repo", of.word) })
        }
        Value::Null => json!({ "repository": format!("{}-own", of.word) }),
        plain => plain.clone(),
    }
}

/// The same request for something that never was.
fn absent(value: &Value, team: i64) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(VEILED, ABSENT)),
        Value::Number(number) if number.as_i64() == Some(team) => NO_ID.into(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), absent(value, team))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| absent(item, team)).collect()),
        other => other.clone(),
    }
}

/// A request that names something of bob's.
struct Attempt<'r> {
    route: &'r Route,
    /// Values of the path, and whether each is bob's.
    values: Vec<(String, bool)>,
    body: Option<Value>,
    /// Whether only people of bob's are named: that gives them something, and takes nothing.
    people_only: bool,
}

struct Sweep<'s> {
    ann: &'s Tenant,
    bob: &'s Tenant,
    wrong: Vec<String>,
    sent: usize,
}

impl Sweep<'_> {
    fn send(&mut self, door: &Caller, route: &Route, values: &[String], body: Option<&Value>) -> Answer {
        self.sent += 1;
        let bytes = body.map(Value::to_string).unwrap_or_default();
        door.send_bytes(&route.method, &route.path(values), "application/json", bytes.as_bytes())
    }

    fn attempt(&mut self, who: &str, door: &Caller, attempt: &Attempt<'_>) {
        let Attempt { route, body, .. } = attempt;
        let values: Vec<String> = attempt.values.iter().map(|(value, _)| value.clone()).collect();
        let answer = self.send(door, route, &values, body.as_ref());
        let line = route.line();
        let said = body.as_ref().map(Value::to_string).unwrap_or_default();
        let what = format!("{line} {values:?} {said} as {who}");
        if tells(&answer, &values, body.as_ref()) {
            self.wrong.push(format!("{what} tells: {}", short(&answer)));
        }
        if attempt.people_only {
            return;
        }
        let in_path = attempt.values.iter().any(|(_, foreign)| *foreign);
        let well = match answer.status {
            404 => true,
            200 if line == "POST /graphql" => answer.json()["errors"][0]["type"] == "NOT_FOUND",
            200 if PUBLIC.contains(&line.as_str()) => match answer.json() {
                Value::Array(items) => items.is_empty() && !PROFILES.contains(&line.as_str()),
                found => found.is_object() && PROFILES.contains(&line.as_str()),
            },
            // A token for packages is no key to the rest, whoever is asked for.
            403 if who != "ann" => true,
            status if in_path => {
                IN_PATHS.iter().any(|(known, with, _)| (*known, *with) == (line.as_str(), status))
            }
            status => IN_BODIES.contains(&(line.as_str(), status)),
        };
        if !well {
            self.wrong.push(format!("{what} is answered: {}", short(&answer)));
        }
        let others: Vec<String> = attempt
            .values
            .iter()
            .map(|(value, foreign)| match value.parse::<i64>() {
                Ok(_) if *foreign => NO_ID.to_string(),
                _ => value.replace(VEILED, ABSENT),
            })
            .collect();
        let other = body.as_ref().map(|body| absent(body, self.bob.team));
        if (&others, &other) == (&values, body) {
            return;
        }
        let nothing = self.send(door, route, &others, other.as_ref());
        let text = |answer: &Answer| String::from_utf8_lossy(&answer.body).replace(VEILED, ABSENT);
        let mut there = text(&answer);
        for (value, other) in values.iter().zip(&others).filter(|(value, other)| value != other) {
            there = there.replace(value.as_str(), other);
        }
        if (answer.status, there) != (nothing.status, text(&nothing)) {
            let (answer, nothing) = (short(&answer), short(&nothing));
            self.wrong
                .push(format!("{what} can be told from what is not there: {answer}\n    and {nothing}"));
        }
    }

    /// Every way to fill a route's path with at least one thing of bob's.
    fn fillings(&mut self, route: &Route) -> Vec<Vec<(String, bool)>> {
        let mut all: Vec<Vec<(String, bool)>> = vec![Vec::new()];
        for param in route.params() {
            let own = self.ann.values(&route.form, param);
            let (Some(own), Some(foreign)) = (own, self.bob.values(&route.form, param)) else {
                self.wrong.push(format!("nobody has a {param} for {}", route.line()));
                return Vec::new();
            };
            let mut choices: Vec<(String, bool)> =
                own.into_iter().take(1).map(|value| (value, false)).collect();
            if !matches!(param, "package_type" | "action") {
                choices.extend(foreign.into_iter().map(|value| (value, true)));
            }
            all = all
                .iter()
                .flat_map(|start| {
                    choices
                        .iter()
                        .map(move |choice| [start.as_slice(), std::slice::from_ref(choice)].concat())
                })
                .collect();
        }
        all.retain(|values| values.iter().any(|(_, foreign)| *foreign));
        all
    }

    fn paths(&mut self, who: &str, door: &Caller, routes: &[Route]) {
        for route in routes {
            let people = self.bob.members;
            for values in self.fillings(route) {
                let mut foreign = values.iter().filter(|(_, foreign)| *foreign);
                let people_only = foreign.all(|(value, _)| people.contains(&value.as_str()));
                let mut tries = vec![None];
                if let Some(schema) = &route.body {
                    let Some(bodies) = bodies(schema, self.ann, self.bob) else { continue };
                    tries = vec![Some(plain_body(route, self.ann, &bodies))];
                    tries.extend(bodies.foreign.into_iter().chain(bodies.grabbing).map(Some));
                }
                for body in tries {
                    let values = values.clone();
                    self.attempt(who, door, &Attempt { route, values, body, people_only });
                }
            }
        }
    }

    /// Bodies that name something of bob's, in paths of ann's. What ann sees of hers tells nothing of bob's.
    fn in_bodies(&mut self, who: &str, door: &Caller, routes: &[Route]) {
        for route in routes {
            let Some(values) = self.ann.own(route) else { continue };
            if route.method == "GET" {
                let answer = self.send(door, route, &values, None);
                if tells(&answer, &values, None) {
                    self.wrong.push(format!("{} tells {who}: {}", route.line(), short(&answer)));
                }
            }
            let Some(schema) = &route.body else { continue };
            let Some(bodies) = bodies(schema, self.ann, self.bob) else {
                self.wrong.push(format!("{}: nobody has thought of bodies of {schema}", route.line()));
                continue;
            };
            for body in bodies.foreign {
                let values = values.iter().map(|value| (value.clone(), false)).collect();
                self.attempt(who, door, &Attempt { route, values, body: Some(body), people_only: false });
            }
        }
    }

    /// Fields that are no business of the caller's, in bodies that are well without them.
    fn privileged(&mut self, routes: &[Route]) {
        let (ann, bob) = (self.ann, self.bob);
        for route in routes {
            let Some(schema) = &route.body else { continue };
            if schema == "graphql-query" {
                // It is only read, and clients send `extensions` and more beside a query.
                continue;
            }
            let (Some(values), Some(bodies)) = (ann.own(route), bodies(schema, ann, bob)) else { continue };
            for field in NEVER.iter().filter(|field| route.fields.iter().any(|known| known == *field)) {
                self.wrong.push(format!("{} takes {field}", route.line()));
            }
            let rarely = RARELY.iter().filter(|field| !route.fields.iter().any(|known| known == *field));
            for field in NEVER.iter().chain(rarely) {
                let mut body = plain_body(route, ann, &bodies);
                body[field] = if field.ends_with("_at") { json!("2020-01-01T00:00:00Z") } else { json!(1) };
                let answer = self.send(&ann.door, route, &values, Some(&body));
                if answer.status != 422 {
                    self.wrong.push(format!("{} {body} is not refused: {}", route.line(), short(&answer)));
                }
            }
        }
    }

    /// That the sweep asks rightly: with the same paths and bodies, bob is let do it all.
    fn control(&mut self, routes: &[Route]) {
        let bob = self.bob;
        for route in routes {
            let Some(values) = bob.own(route) else { continue };
            let bodies = route.body.as_ref().and_then(|schema| bodies(schema, bob, self.ann));
            let body = bodies.map(|bodies| plain_body(route, bob, &bodies));
            let answer = self.send(bob.door_to(route), route, &values, body.as_ref());
            let line = route.line();
            let vain = IN_VAIN.iter().find(|(known, _, _)| line == *known).map(|(_, status, _)| *status);
            if vain.map_or(answer.status >= 300, |status| status != answer.status) {
                self.wrong.push(format!("{line} {values:?} as bob: {}", short(&answer)));
            }
        }
    }

    fn end_of(&mut self, part: &str) {
        let cut = |one: &String| one.chars().take(600).collect::<String>();
        let first: Vec<String> = self.wrong.iter().map(cut).take(60).collect();
        assert!(first.is_empty(), "{part}: {} of {}:\n{}", self.wrong.len(), self.sent, first.join("\n"));
    }
}

/// Whether an answer tells something of bob's that the request did not say itself.
fn tells(answer: &Answer, values: &[String], body: Option<&Value>) -> bool {
    let mut said = String::from_utf8_lossy(&answer.body).into_owned();
    if said.contains(SECRET) {
        return true;
    }
    let asked = format!("{} {}", values.join(" "), body.map(Value::to_string).unwrap_or_default());
    for word in asked.split(|c: char| !c.is_alphanumeric() && c != '-').filter(|w| w.starts_with(VEILED)) {
        said = said.replace(word, "");
    }
    said.contains(VEILED)
}

/// An answer in a few words.
fn short(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

#[track_caller]
fn assert_same(before: &Map<String, Value>, after: &Map<String, Value>) {
    let changed: Vec<String> = before
        .iter()
        .filter(|(name, value)| after.get(*name) != Some(value))
        .map(|(name, value)| format!("{name}: {value}\n    became {:?}", after.get(name)))
        .collect();
    assert!(changed.is_empty() && before.len() == after.len(), "changed:\n{}", changed.join("\n"));
}

fn nothing_of_another_tenant_is_there(catalog: Catalog) {
    let house = House::builder().catalog(catalog).start();
    let ann = Tenant::settle(&house, ["ann", "amy", "ada"], "alpha", "plain");
    let bob = Tenant::settle(&house, ["bob", "bert", "beth"], "beta", VEILED);
    let routes = routes(&ann.door);
    let mut sweep = Sweep { ann: &ann, bob: &bob, wrong: Vec::new(), sent: 0 };
    let (anns, bobs) = (ann.everything(&house, &routes), bob.everything(&house, &routes));
    let seen_by_bob = bobs.values().filter(|seen| seen.to_string().contains(SECRET)).count();
    assert!(seen_by_bob > 10, "bob himself is told his secret {seen_by_bob} times");

    sweep.privileged(&routes);
    assert_same(&anns, &ann.everything(&house, &routes));
    let fine = house.caller(&ann.token.1);
    let robot = house.caller(&ann.robot_token.1);
    let callers = [("ann", &ann.door), ("ann's fine-grained token", &fine), ("ann's robot", &robot)];
    for (who, door) in callers {
        sweep.in_bodies(who, door, &routes);
    }
    assert_same(&anns, &ann.everything(&house, &routes));
    for (who, door) in callers {
        sweep.paths(who, door, &routes);
    }
    assert_same(&bobs, &bob.everything(&house, &routes));
    sweep.end_of("of bob's");
    sweep.control(&routes);
    sweep.end_of("of one's own");
    println!("{} operations, {} requests", routes.len(), sweep.sent);
}

#[test]
fn nothing_of_another_tenant_is_there_on_sqlite() {
    nothing_of_another_tenant_is_there(Catalog::Sqlite);
}

#[test]
fn nothing_of_another_tenant_is_there_on_postgres() {
    nothing_of_another_tenant_is_there(Catalog::Postgres);
}
