//! Operations of the description that are not served, each with its reason.

use std::collections::BTreeSet;

/// Beginnings of `METHOD /path` (a `*` for any method), and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("* /organizations", "an index of all organizations for crawlers; ours are the operator's to list"),
    ("* /repositories", "an index of all public repositories for crawlers"),
    ("GET /users", "an index of all users for crawlers; ours are the operator's to list"),
    ("* /octocat", "a joke"),
    ("* /zen", "a joke"),
    ("* /user/{account_id}", "users by number: no client of packages asks"),
    // Hooks and attestations have work of their own.
    ("* /orgs/{org}/hooks", "webhooks are built later"),
    ("* /repos/{owner}/{repo}/hooks", "webhooks are built later"),
    ("* /orgs/{org}/attestations", "attestations are built later"),
    ("* /repos/{owner}/{repo}/attestations", "attestations are built later"),
    ("* /users/{username}/attestations", "attestations are built later"),
    // What a forge has and a registry has not.
    ("* /orgs/{org}/artifacts", "deployment records of Actions"),
    ("* /orgs/{org}/blocks", "nobody can be blocked"),
    ("* /orgs/{org}/failed_invitations", "there are no invitations: who is added is in"),
    ("* /orgs/{org}/invitations", "there are no invitations: who is added is in"),
    ("* /orgs/{org}/teams/{team_slug}/invitations", "there are no invitations: who is added is in"),
    ("* /teams/{team_id}", "deprecated in favour of the paths by organization"),
    ("* /repos/{owner}/{repo}/invitations", "there are no invitations: who is added is in"),
    ("* /user/repository_invitations", "there are no invitations: who is added is in"),
    ("* /orgs/{org}/insights", "statistics of GitHub's API"),
    ("* /orgs/{org}/installations", "there are no GitHub Apps"),
    ("* /orgs/{org}/issue", "there are no issues"),
    ("* /repos/{owner}/{repo}/issue-types", "there are no issues"),
    ("* /orgs/{org}/organization", "custom roles of an enterprise plan"),
    ("* /orgs/{org}/outside_collaborators", "a list of people; the collaborators of each repository tell"),
    ("* /orgs/{org}/personal-access-token", "approval of tokens by owners"),
    ("* /orgs/{org}/properties", "custom properties of an enterprise plan"),
    ("* /repos/{owner}/{repo}/properties", "custom properties of an enterprise plan"),
    ("* /orgs/{org}/public_members", "memberships are told to members only"),
    ("* /orgs/{org}/rulesets", "there is no git"),
    ("* /orgs/{org}/security-managers", "deprecated"),
    ("* /orgs/{org}/{security_product}", "there is no code to scan"),
    ("* /orgs/{org}/settings/immutable-releases", "there are no releases"),
    ("* /organizations/{org}/settings/billing/ai", "no such product"),
    ("* /organizations/{org}/settings/billing/budgets", "quotas are built later"),
    ("* /organizations/{org}/settings/billing/premium", "no such product"),
    ("* /users/{username}/settings/billing/ai", "no such product"),
    ("* /users/{username}/settings/billing/premium", "no such product"),
    ("* /repos/{owner}/{repo}/activity", "there is no git"),
    ("* /repos/{owner}/{repo}/autolinks", "there are no issues"),
    ("* /repos/{owner}/{repo}/automated-security-fixes", "there is no git"),
    ("* /repos/{owner}/{repo}/branches", "there is no git"),
    ("* /repos/{owner}/{repo}/codeowners", "there is no git"),
    ("* /repos/{owner}/{repo}/comments", "there is no git"),
    ("* /repos/{owner}/{repo}/commits", "there is no git"),
    ("* /repos/{owner}/{repo}/community", "there is no git"),
    ("* /repos/{owner}/{repo}/compare", "there is no git"),
    ("* /repos/{owner}/{repo}/contents", "there is no git"),
    ("* /repos/{owner}/{repo}/contributors", "there is no git"),
    ("* /repos/{owner}/{repo}/deployments", "there are no deployments"),
    ("* /repos/{owner}/{repo}/dispatches", "there are no workflows here"),
    ("* /repos/{owner}/{repo}/environments", "there are no deployments"),
    ("* /repos/{owner}/{repo}/forks", "there is no git"),
    ("* /repos/{template_owner}", "there is no git"),
    ("* /repos/{owner}/{repo}/hash-algorithm", "there is no git"),
    ("* /repos/{owner}/{repo}/immutable-releases", "there are no releases"),
    ("* /repos/{owner}/{repo}/keys", "there is no git"),
    ("* /repos/{owner}/{repo}/languages", "there is no git"),
    ("* /repos/{owner}/{repo}/merge", "there is no git"),
    ("* /repos/{owner}/{repo}/pages", "there are no pages"),
    ("* /repos/{owner}/{repo}/private-vulnerability-reporting", "there is no git"),
    ("* /repos/{owner}/{repo}/readme", "there is no git"),
    ("* /repos/{owner}/{repo}/releases", "there are no releases"),
    ("* /repos/{owner}/{repo}/rules", "there is no git"),
    ("* /repos/{owner}/{repo}/stats", "there is no git"),
    ("* /repos/{owner}/{repo}/statuses", "there is no git"),
    ("* /repos/{owner}/{repo}/tags", "there is no git"),
    ("* /repos/{owner}/{repo}/tarball", "there is no git"),
    ("* /repos/{owner}/{repo}/topics", "a record needs none"),
    ("* /repos/{owner}/{repo}/traffic", "there is no git"),
    ("* /repos/{owner}/{repo}/transfer", "a record is made again under its new owner"),
    ("* /repos/{owner}/{repo}/vulnerability-alerts", "there is no git"),
    ("* /repos/{owner}/{repo}/zipball", "there is no git"),
    ("* /user/blocks", "nobody can be blocked"),
    ("* /user/email", "addresses are not kept as a list"),
    ("* /user/public_emails", "addresses are not kept as a list"),
    ("* /user/follow", "nobody follows"),
    ("* /users/{username}/follow", "nobody follows"),
    ("* /user/gpg_keys", "there is no git"),
    ("* /users/{username}/gpg_keys", "there is no git"),
    ("* /user/keys", "there is no git"),
    ("* /users/{username}/keys", "there is no git"),
    ("* /user/ssh_signing_keys", "there is no git"),
    ("* /users/{username}/ssh_signing_keys", "there is no git"),
    ("* /user/social_accounts", "a registry needs none"),
    ("* /users/{username}/social_accounts", "a registry needs none"),
    ("* /users/{username}/hovercard", "what a page of GitHub shows"),
];

/// Whether one of the rows is about the operation: the same path, or one below it.
fn covers(row: &str, operation: &str) -> bool {
    let Some((method, form)) = row.split_once(' ') else { return false };
    let Some((asked, path)) = operation.split_once(' ') else { return false };
    let below = match form {
        // A list that has the rest of the API below it.
        "/users" | "/organizations" | "/repositories" => path == form,
        _ => path.starts_with(form),
    };
    (method == "*" || method == asked) && below
}

/// Why an operation is left out, if it is.
pub(crate) fn reason(operation: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(row, _)| covers(row, operation)).map(|(_, reason)| *reason)
}

/// Rows that no operation has any more.
pub(crate) fn stale(operations: &BTreeSet<String>) -> Vec<&'static str> {
    let idle = |row: &&str| !operations.iter().any(|operation| covers(row, operation));
    LEFT_OUT.iter().map(|(row, _)| *row).filter(idle).collect()
}
