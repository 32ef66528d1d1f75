//! The steps of `cargo xtask test`, in order, and the table at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::garage::Garage;
use crate::postgres::Postgres;
use crate::run::{loudly, stopped};
use crate::tools::Tools;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Step {
    /// Real clients and services are here, or are installed.
    Tools,
    /// The source is formatted.
    Fmt,
    /// No lint complains.
    Clippy,
    /// No dependency has a licence or a source we do not take.
    Deny,
    /// The release build.
    Build,
    /// The tests of every crate, with the catalog on SQLite and on PostgreSQL and the blobs on files and in a bucket.
    Unit,
    /// The release build with real clients, the conformance program, crashes.
    E2e,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Deny => "deny",
            Self::Build => "build",
            Self::Unit => "unit",
            Self::E2e => "e2e",
        }
    }

    /// The steps whose failure makes this one pointless.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::E2e => &[Self::Build],
            Self::Tools | Self::Fmt | Self::Clippy | Self::Deny | Self::Build | Self::Unit => &[],
        }
    }
}

/// Which tools some of the tests with real clients need, by a part of those tests' names. Those marked `true`
/// need root, for engines that mount.
const NEEDS: &[(&str, &[&str], bool)] = &[
    ("a_blob_that_cannot_be_written", &["strace"], false),
    ("a_catalog_that_cannot_write", &["strace"], false),
    ("a_checkpoint_that_finds_no_room", &["strace"], false),
    ("a_code_signs_in", &["curl", "gh", "gh-current"], false),
    ("a_commit_that_was_refused", &["strace"], false),
    ("a_first_start_is_on_disk", &["strace"], false),
    ("a_power_cut_after_any_write", &["strace"], false),
    ("a_sync_behind_the_commit", &["strace"], false),
    ("a_token_signs_in", &["gh", "gh-current"], false),
    ("buildah::", &["buildah", "busybox"], true),
    ("benchmark_", &["nginx"], false),
    ("compose::", &["busybox", "containerd", "docker", "docker-compose", "dockerd", "runc"], true),
    ("conformance_on_", &["conformance"], false),
    ("conformance_on_postgres", &["postgresql"], false),
    ("and_a_bucket", &["garage"], false),
    ("_nodes_", &["garage", "postgresql"], false),
    ("sent_to_the_bucket", &["garage", "skopeo"], false),
    ("counted_by_callgrind", &["valgrind"], false),
    ("crane::", &["busybox", "crane"], false),
    ("cri::", &["busybox", "containerd", "crane", "ctr", "runc"], true),
    ("ctr::", &["busybox", "containerd", "ctr"], true),
    ("data_folder_and_log_are_synced", &["strace"], false),
    ("docker_compose_takes", &["docker-compose"], false),
    ("docker", &["busybox", "containerd", "docker", "dockerd", "runc"], true),
    ("forgotten_syncs_are_caught", &["strace"], false),
    ("from_registry::", &["busybox", "crane", "docker-registry", "helm4", "oras", "skopeo"], false),
    ("from_tree::", &["busybox", "crane", "docker-registry", "helm4", "oras", "skopeo"], false),
    ("getting_started", &["busybox", "containerd", "docker", "dockerd", "runc"], true),
    ("helm3", &["helm3"], false),
    ("helm4", &["helm4"], false),
    ("layouts::", &["busybox", "crane", "oras", "skopeo"], false),
    ("oras::", &["busybox", "oras"], false),
    ("podman", &["busybox", "podman"], true),
    ("every_operation_of_the_description", &["npm-modules"], false),
    ("multi_arch::", &["busybox"], false),
    ("on_postgres", &["postgresql"], false),
    ("schemathesis::", &["python"], false),
    ("scripts::gh_", &["gh", "gh-current"], false),
    ("scripts::octokit", &["node", "npm-modules"], false),
    ("scripts::pygithub", &["python"], false),
    ("skopeo", &["busybox", "skopeo"], false),
    ("the_commands_of_the_api", &["curl", "gh"], false),
    ("the_commands_of_moving", &["docker-registry"], false),
    ("the_guides_", &["busybox", "containerd", "curl", "docker", "dockerd", "gh", "runc"], true),
    ("the_program_starts_and_goes_on", &["strace"], false),
    ("the_scripts_of_the_api", &["node", "npm-modules", "python"], false),
];

/// How a step went.
struct Outcome {
    step: Step,
    passed: bool,
    note: String,
    took: Duration,
}

/// Numbers of tests that passed and failed.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Everything that the steps share.
struct Session {
    root: PathBuf,
    ci: bool,
    words: Vec<String>,
    /// Whether tests that look for rare things get more time.
    long: bool,
    tools: Tools,
    postgres: Option<Postgres>,
    garage: Option<Garage>,
    counts: Counts,
}

/// Runs the steps (all, or those asked for with what they need); false when one failed.
///
/// # Errors
///
/// When not even a start is possible, or somebody asked to stop.
pub(crate) fn test(only: &[Step], long: bool, words: &[String]) -> anyhow::Result<bool> {
    let mut session = Session {
        root: root()?,
        ci: std::env::var("CI").is_ok_and(|value| value == "true" || value == "1"),
        words: words.to_owned(),
        long,
        tools: Tools::default(),
        postgres: None,
        garage: None,
        counts: Counts::default(),
    };
    let mut wanted = Step::value_variants().to_vec();
    if !only.is_empty() {
        let uses_tools = only.iter().any(|step| matches!(step, Step::Deny | Step::Unit | Step::E2e));
        wanted.retain(|step| {
            only.iter().any(|asked| asked == step || asked.needs().contains(step))
                || (*step == Step::Tools && uses_tools)
        });
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    for step in wanted {
        println!("\n=== {}", step.name());
        let start = Instant::now();
        let broken = outcomes.iter().find(|before| !before.passed && step.needs().contains(&before.step));
        let result = match broken {
            Some(before) => Ok((false, format!("not run, because {} failed", before.step.name()))),
            None => session.take(step),
        };
        if stopped() {
            anyhow::bail!("stopped in the step {}", step.name());
        }
        let (passed, note) = result.unwrap_or_else(|error| (false, format!("{error:#}")));
        let took = start.elapsed();
        println!("=== {}: {} in {:.1} s", step.name(), word(passed), took.as_secs_f64());
        outcomes.push(Outcome { step, passed, note, took });
    }
    drop(session.postgres.take());
    drop(session.garage.take());
    Ok(session.table(&outcomes))
}

/// Writes what requests cost in instructions of the release build; false when they could not be counted.
///
/// # Errors
///
/// When cargo cannot be started, or somebody asked to stop.
pub(crate) fn instructions() -> anyhow::Result<bool> {
    let root = root()?;
    let cargo = |words: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(words).current_dir(&root).env("PACKHOUSE_TEST_WRITE_INSTRUCTIONS", "1");
        command.env("PACKHOUSE_TEST_PROGRAM", program(&root));
        Ok::<_, anyhow::Error>(loudly(&mut command)?.status.success())
    };
    Ok(cargo(&["build", "--release", "--package", "packhouse"])?
        && cargo(&["test", "--package", "packhouse-tests", "--test", "instructions", "--", "--nocapture"])?)
}

fn root() -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?.to_owned())
}

/// The release build.
fn program(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target).join("release/packhouse")
}

fn word(passed: bool) -> &'static str {
    if passed { "passed" } else { "failed" }
}

impl Session {
    /// Whether it passed, and a few words for the table.
    fn take(&mut self, step: Step) -> anyhow::Result<(bool, String)> {
        match step {
            Step::Tools => self.set_up(),
            Step::Fmt => self.cargo(&["fmt", "--all", "--check"]),
            Step::Clippy => {
                self.cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
            }
            Step::Deny => self.deny(),
            Step::Build => self.cargo(&["build", "--release", "--package", "packhouse"]),
            Step::Unit => self.tests(
                &["--workspace", "--exclude", "packhouse-tests", "--exclude", "packhouse-bench"],
                Vec::new(),
            ),
            Step::E2e => {
                let skipped =
                    self.left_out().into_iter().flat_map(|name| ["--skip".to_owned(), name.to_owned()]);
                let skipped = skipped.collect();
                // The benchmark's own tests run it against the release build.
                self.tests(&["--package", "packhouse-tests", "--package", "packhouse-bench"], skipped)
            }
        }
    }

    fn set_up(&mut self) -> anyhow::Result<(bool, String)> {
        self.tools = Tools::set_up()?;
        let mut missing: Vec<&str> = self.tools.missing().map(|(name, _)| name).collect();
        for (name, why) in self.tools.missing() {
            println!("not here: {name} ({why})");
        }
        if self.tools.path("postgresql").is_some() {
            match Postgres::start() {
                Ok(postgres) => {
                    println!("PostgreSQL at {}", postgres.url());
                    self.postgres = Some(postgres);
                }
                Err(error) => {
                    println!("not here: a running PostgreSQL ({error:#})");
                    missing.push("a running PostgreSQL");
                }
            }
        }
        if let Some(program) = self.tools.path("garage") {
            match Garage::start(program) {
                Ok(garage) => {
                    println!("Garage, three nodes");
                    self.garage = Some(garage);
                }
                Err(error) => {
                    println!("not here: a running Garage ({error:#})");
                    missing.push("a running Garage");
                }
            }
        }
        let left_out = self.left_out();
        if missing.is_empty() && left_out.is_empty() {
            return Ok((true, String::new()));
        }
        if !left_out.is_empty() {
            println!("left out for that: the end-to-end tests with {} in their names", left_out.join(", "));
        }
        // At a desk it is enough to have said so; CI must not pass without having tested everything.
        Ok((!self.ci, format!("without {}", missing.join(", "))))
    }

    /// The parts of names of tests that cannot run here.
    fn left_out(&self) -> Vec<&'static str> {
        let root = rustix::process::geteuid().is_root();
        let cannot = |(_, tools, needs_root): &&(&str, &[&str], bool)| {
            (*needs_root && !root) || tools.iter().any(|tool| self.tools.path(tool).is_none())
        };
        let mut names: Vec<&str> = NEEDS.iter().filter(cannot).map(|(name, ..)| *name).collect();
        if self.postgres.is_none() && !names.contains(&"conformance_on_postgres") {
            names.push("conformance_on_postgres");
        }
        if self.garage.is_none() {
            names.extend(["and_a_bucket", "_nodes_", "sent_to_the_bucket"]);
        }
        names
    }

    fn deny(&self) -> anyhow::Result<(bool, String)> {
        let Some(deny) = self.tools.path("cargo-deny") else {
            return Ok((!self.ci, "left out: there is no cargo-deny".to_owned()));
        };
        let mut command = Command::new(deny);
        command.args(["check", "bans", "licenses", "sources"]).current_dir(&self.root);
        Ok((loudly(&mut command)?.status.success(), String::new()))
    }

    fn cargo(&self, words: &[&str]) -> anyhow::Result<(bool, String)> {
        Ok((loudly(&mut self.command(words))?.status.success(), String::new()))
    }

    /// `cargo WORDS…` in the workspace, which in CI takes the lock file as it is.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        let (first, others) = words.split_first().unwrap_or((&"--version", &[]));
        command.arg(first).current_dir(&self.root);
        if self.ci && *first != "fmt" {
            command.arg("--locked");
        }
        command.args(others);
        command
    }

    /// `cargo test`, counted, with the services and tools in the environment.
    fn tests(&mut self, packages: &[&str], skipped: Vec<String>) -> anyhow::Result<(bool, String)> {
        let mut command = self.command(&[&["test", "--no-fail-fast"], packages].concat());
        command.arg("--").args(&self.words).args(skipped);
        if let Some(postgres) = &self.postgres {
            command.env("PACKHOUSE_TEST_DATABASE_URL", postgres.url());
        }
        for (variable, value) in self.garage.iter().flat_map(Garage::variables) {
            command.env(variable, value);
        }
        for (variable, path) in self.tools.variables() {
            command.env(variable, path);
        }
        if self.long {
            command.env("PACKHOUSE_TEST_LONG", "1");
        }
        command.env("PACKHOUSE_TEST_PROGRAM", program(&self.root));
        let ran = loudly(&mut command)?;
        let counts = count(&ran.output);
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        let note = format!("{} tests passed, {} failed", counts.passed, counts.failed);
        // No test at all is no success, unless somebody asked for one by name.
        let enough = counts.passed > 0 || !self.words.is_empty();
        Ok((ran.status.success() && enough, note))
    }

    fn table(&self, outcomes: &[Outcome]) -> bool {
        println!("\n{:<8} {:<8} {:>9}", "step", "result", "time");
        for Outcome { step, passed, note, took } in outcomes {
            println!("{:<8} {:<8} {:>7.1} s  {note}", step.name(), word(*passed), took.as_secs_f64());
        }
        let failed = outcomes.iter().filter(|outcome| !outcome.passed).count() as u64;
        let passed = outcomes.len() as u64 - failed;
        println!("\n{} passed, {} failed", self.counts.passed + passed, self.counts.failed + failed);
        failed == 0
    }
}

/// Adds up the lines `test result: ok. 12 passed; 0 failed; …` of all test programs.
fn count(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines().filter(|line| line.starts_with("test result: ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1].trim_end_matches(';') {
                "passed" => counts.passed += number,
                "failed" => counts.failed += number,
                _ => {}
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn results_of_all_test_programs_are_added_up() {
        let counts = count(
            "running 3 tests\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             test result: FAILED. 40 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s\n",
        );
        assert_eq!((counts.passed, counts.failed), (43, 2));
    }
}
