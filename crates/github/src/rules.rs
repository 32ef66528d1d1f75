//! Rules about tags, retention and the tags' past. GitHub has rules for branches and tags of repositories, none for
//! packages; the manner is that of its API.

use crate::call::Call;
use crate::error::ApiError;
use crate::manage;
use crate::respond::Answer;
use crate::simple::time;
use crate::versions::Tag;
use packhouse_service::{Plan, RetentionPolicy, RetentionSeen, RuleSeen, RuleWanted, RulesOf, TagRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Versions that one answer about a plan has.
const PLANNED_MAX: usize = 1_000;

/// A rule about tags.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "package-rule")]
pub(crate) struct Rule {
    id: i64,
    /// Whose rule it is: the name of an owner or the path of a package.
    of: String,
    /// `immutable` or `protected`.
    hold: &'static str,
    /// Who may change protected tags: who has the role `write` or `admin`, or `nobody`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// The tags: a glob, `regex:…` or `semver:…`.
    pattern: String,
    /// But not these.
    except: Vec<String>,
    /// Whether the package may be deleted or renamed with such tags in it.
    allow_package_deletion: bool,
    created_at: String,
    /// Who made it; null: the operator.
    created_by: Option<String>,
}

impl From<RuleSeen> for Rule {
    fn from(rule: RuleSeen) -> Self {
        Rule {
            id: rule.id,
            of: rule.of,
            hold: rule.hold,
            role: rule.role,
            pattern: rule.pattern,
            except: rule.except,
            allow_package_deletion: rule.allow_package_deletion,
            created_at: time(rule.created_at),
            created_by: rule.created_by,
        }
    }
}

/// A rule to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "package-rule-new")]
pub(crate) struct RuleBody {
    /// `immutable` or `protected`.
    hold: String,
    /// Of a protected one: `write`, `admin` or `nobody`.
    #[serde(default)]
    role: Option<String>,
    /// The tags: a glob, `regex:…` or `semver:…`.
    pattern: String,
    /// But not these: at most ten.
    #[serde(default)]
    except: Vec<String>,
    /// Whether the package may be deleted or renamed with such tags in it.
    #[serde(default)]
    allow_package_deletion: bool,
}

/// What a retention policy says.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "retention-policy")]
pub(crate) struct PolicyBody {
    /// Keep so many of the versions with tags, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_last: Option<u32>,
    /// Keep what was pushed in the last so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_newer_seconds: Option<u64>,
    /// Keep what was pulled in the last so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_pulled_seconds: Option<u64>,
    /// Keep versions with such a tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keep_tags: Vec<String>,
    /// Drop versions without a tag that are older than so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_untagged_seconds: Option<u64>,
    /// Drop pre-releases that are older than so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_prereleases_seconds: Option<u64>,
    /// Drop all that no other rule is about.
    drop_rest: bool,
    /// Run each so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    every_seconds: Option<u64>,
    /// Run each day at this time, UTC: `03:30`.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_at: Option<String>,
}

impl From<RetentionPolicy> for PolicyBody {
    fn from(policy: RetentionPolicy) -> Self {
        let RetentionPolicy {
            keep_last,
            keep_newer_seconds,
            keep_pulled_seconds,
            keep_tags,
            drop_untagged_seconds,
            drop_prereleases_seconds,
            drop_rest,
            every_seconds,
            daily_at,
        } = policy;
        PolicyBody {
            keep_last,
            keep_newer_seconds,
            keep_pulled_seconds,
            keep_tags,
            drop_untagged_seconds,
            drop_prereleases_seconds,
            drop_rest,
            every_seconds,
            daily_at,
        }
    }
}

impl From<PolicyBody> for RetentionPolicy {
    fn from(body: PolicyBody) -> Self {
        RetentionPolicy {
            keep_last: body.keep_last,
            keep_newer_seconds: body.keep_newer_seconds,
            keep_pulled_seconds: body.keep_pulled_seconds,
            keep_tags: body.keep_tags,
            drop_untagged_seconds: body.drop_untagged_seconds,
            drop_prereleases_seconds: body.drop_prereleases_seconds,
            drop_rest: body.drop_rest,
            every_seconds: body.every_seconds,
            daily_at: body.daily_at,
        }
    }
}

/// A retention policy, and what it did last.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "retention")]
pub(crate) struct Retention {
    /// Whose policy it is: the name of an owner or the path of a package.
    of: String,
    /// Whether it is the asked one's own; a package without one is under its owner's.
    own: bool,
    policy: PolicyBody,
    changed_at: String,
    /// Who said so; null: the operator.
    changed_by: Option<String>,
    /// When it runs next; null: only when asked to.
    next_run_at: Option<String>,
    /// When it ran last by its schedule.
    last_run_at: Option<String>,
    /// Versions that it kept then.
    last_kept: u64,
    /// Versions that it dropped then.
    last_dropped: u64,
}

impl From<RetentionSeen> for Retention {
    fn from(seen: RetentionSeen) -> Self {
        Retention {
            of: seen.of,
            own: seen.own,
            policy: seen.policy.into(),
            changed_at: time(seen.changed_at),
            changed_by: seen.changed_by,
            next_run_at: seen.due_at.map(time),
            last_run_at: seen.ran_at.map(time),
            last_kept: seen.kept,
            last_dropped: seen.dropped,
        }
    }
}

/// A version with what becomes of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "retention-planned")]
struct PlannedVersion {
    id: i64,
    /// The digest of the manifest.
    name: String,
    tags: Vec<String>,
    /// `keep` or `drop`.
    verdict: &'static str,
    /// The rule that decided.
    rule: String,
}

/// What a policy would do to a package, or has done to it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "retention-plan")]
pub(crate) struct PlanView {
    /// Whose policy.
    of: String,
    /// Versions that stay, parts not counted.
    kept: u64,
    /// Versions that go, parts not counted.
    dropped: u64,
    /// The newest first, at most 1,000; of what was done, those that went.
    versions: Vec<PlannedVersion>,
    /// Whether there are more.
    truncated: bool,
}

impl From<Plan> for PlanView {
    fn from(plan: Plan) -> Self {
        let truncated = plan.versions.len() > PLANNED_MAX;
        let versions = plan.versions.into_iter().take(PLANNED_MAX).map(|planned| PlannedVersion {
            id: planned.verdict.id.0,
            name: planned.digest.to_string(),
            tags: planned.tags,
            verdict: if planned.verdict.drop { "drop" } else { "keep" },
            rule: planned.verdict.why.to_string(),
        });
        PlanView {
            versions: versions.collect(),
            of: plan.of,
            kept: plan.kept,
            dropped: plan.dropped,
            truncated,
        }
    }
}

/// What the path names, for who may not know of it.
fn what(of: &RulesOf) -> &'static str {
    match of {
        RulesOf::Package(_) => "Package",
        RulesOf::Owner(_) => "",
    }
}

/// A package, or all packages of an owner.
async fn rules_of(call: &Call<'_>) -> Result<RulesOf, ApiError> {
    if call.param("package_name").is_empty() {
        return Ok(RulesOf::Owner(call.owner().await?.to_string()));
    }
    Ok(RulesOf::Package(call.package().await?.to_string()))
}

/// `GET …/rules`.
pub(crate) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let of = rules_of(&call).await?;
    let what = what(&of);
    let rules = call.service.rules(&call.shown, of).await.map_err(|error| manage::refused(&error, what))?;
    Ok(Answer::ok(&rules.into_iter().map(Rule::from).collect::<Vec<_>>()))
}

/// `POST …/rules`.
pub(crate) async fn create(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: RuleBody = call.json("Rule")?;
    let of = rules_of(&call).await?;
    let what = what(&of);
    let wanted = RuleWanted {
        hold: body.hold,
        role: body.role,
        pattern: body.pattern,
        except: body.except,
        allow_package_deletion: body.allow_package_deletion,
    };
    let made = call.service.create_rule(&call.shown, of, wanted).await;
    Ok(Answer::created(&Rule::from(made.map_err(|error| manage::refused(&error, what))?)))
}

/// `DELETE …/rules/{rule_id}`.
pub(crate) async fn remove(call: Call<'_>) -> Result<Answer, ApiError> {
    let id = call.id("rule_id", "Rule")?;
    let of = rules_of(&call).await?;
    let removed = call.service.remove_rule(&call.shown, of, id).await;
    removed.map_err(|error| manage::refused(&error, "Rule"))?;
    Ok(Answer::no_content())
}

/// `GET …/retention`.
pub(crate) async fn retention(call: Call<'_>) -> Result<Answer, ApiError> {
    let of = rules_of(&call).await?;
    let found = call.service.retention(&call.shown, of).await;
    Ok(Answer::ok(&Retention::from(found.map_err(|error| manage::refused(&error, "Retention policy"))?)))
}

/// `PUT …/retention`.
pub(crate) async fn set_retention(call: Call<'_>) -> Result<Answer, ApiError> {
    let body: PolicyBody = call.json("Retention")?;
    let of = rules_of(&call).await?;
    let set = call.service.set_retention(&call.shown, of, body.into()).await;
    Ok(Answer::ok(&Retention::from(set.map_err(|error| manage::refused(&error, "Package"))?)))
}

/// `DELETE …/retention`.
pub(crate) async fn remove_retention(call: Call<'_>) -> Result<Answer, ApiError> {
    let of = rules_of(&call).await?;
    let removed = call.service.remove_retention(&call.shown, of).await;
    removed.map_err(|error| manage::refused(&error, "Retention policy"))?;
    Ok(Answer::no_content())
}

/// `GET …/retention/plan`.
pub(crate) async fn plan(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let plan = call.service.retention_plan(&call.shown, &name).await;
    Ok(Answer::ok(&PlanView::from(plan.map_err(|error| manage::refused(&error, "Retention policy"))?)))
}

/// `POST …/retention/run`.
pub(crate) async fn run(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.package().await?;
    let plan = call.service.run_retention(&call.shown, &name).await;
    Ok(Answer::ok(&PlanView::from(plan.map_err(|error| manage::refused(&error, "Retention policy"))?)))
}

fn tag_of(call: &Call<'_>) -> Result<packhouse_oci::Tag, ApiError> {
    call.param("tag").parse().map_err(|_| ApiError::not_found("Tag"))
}

fn tag_answer(row: &TagRow) -> Answer {
    Answer::ok(&Tag::new(row, None))
}

/// `GET …/tags/{tag}`.
pub(crate) async fn tag(call: Call<'_>) -> Result<Answer, ApiError> {
    let at = call.query.word("as_of", |word| word.parse::<jiff::Timestamp>().ok())?;
    let (name, tag) = (call.package().await?, tag_of(&call)?);
    let at = at.map(jiff::Timestamp::as_microsecond);
    let row = call.service.tag_as_of(&call.shown, &name, &tag, at).await;
    Ok(tag_answer(&row.map_err(|error| manage::refused(&error, "Tag"))?))
}

/// `POST …/tags/{tag}/undo`.
pub(crate) async fn undo(call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, tag) = (call.package().await?, tag_of(&call)?);
    let row = call.service.undo_tag(&call.shown, &name, &tag).await;
    Ok(tag_answer(&row.map_err(|error| manage::refused(&error, "Tag"))?))
}
