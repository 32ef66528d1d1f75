//! The real clients and services that the tests use: which, in which version, and where from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::run::{loudly, quietly};

/// A client written in Go, built from its released source.
struct GoTool {
    /// The name the tests know it by.
    name: &'static str,
    package: &'static str,
    version: &'static str,
}

const GO_TOOLS: &[GoTool] = &[
    GoTool {
        name: "conformance",
        package: "github.com/opencontainers/distribution-spec/conformance",
        version: "v0.0.0-20260831232431-97274622c111",
    },
    GoTool { name: "crane", package: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1" },
    GoTool { name: "oras", package: "oras.land/oras/cmd/oras", version: "v1.3.6" },
    GoTool { name: "helm3", package: "helm.sh/helm/v3/cmd/helm", version: "v3.22.0" },
    GoTool { name: "helm4", package: "helm.sh/helm/v4/cmd/helm", version: "v4.3.1" },
];

/// What the benchmark compares with, beside Debian's packages.
const BENCH_GO_TOOLS: &[GoTool] = &[GoTool {
    name: "distribution",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
}];

/// Debian's packages that the benchmark alone needs.
const BENCH_DEBIAN: &[(&str, &[&str])] =
    &[("coreutils", &["dd"]), ("docker-registry", &["docker-registry"]), ("openssl", &["openssl"])];

/// A `gh` beside Debian's, which is years older.
const GH_CURRENT: &str = "v2.86.0";

const CARGO_DENY: &str = "0.20.2";

/// The S3 engine. Its licence (AGPL) lets it be run; none of it is linked.
const GARAGE: &str = "2.5.0";

/// Debian's packages, and the programs in them that the tests call by name.
const DEBIAN: &[(&str, &[&str])] = &[
    ("buildah", &["buildah"]),
    ("busybox-static", &["busybox"]),
    ("containerd", &["containerd", "ctr"]),
    ("curl", &["curl"]),
    ("docker-compose", &["docker-compose"]),
    ("docker-registry", &["docker-registry"]),
    ("docker.io", &["docker", "dockerd"]),
    ("gh", &["gh"]),
    ("nginx-light", &["nginx"]),
    ("nodejs", &["node"]),
    ("npm", &["npm"]),
    ("podman", &["podman"]),
    ("postgresql", &["postgresql"]),
    ("python3-venv", &["python3-venv"]),
    ("runc", &["runc"]),
    ("skopeo", &["skopeo"]),
    ("strace", &["strace"]),
    ("util-linux", &["setpriv"]),
    ("valgrind", &["valgrind"]),
];

/// What is here, and what is not and why.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    found: BTreeMap<&'static str, PathBuf>,
    missing: BTreeMap<&'static str, String>,
}

impl Tools {
    /// Installs what is missing, as far as this user may and the network gives it.
    ///
    /// # Errors
    ///
    /// Only when there is nowhere to put tools, or somebody asked to stop.
    pub(crate) fn set_up() -> anyhow::Result<Self> {
        let mut tools = Self::default();
        tools.install(DEBIAN);
        let shelf = shelf()?;
        for tool in GO_TOOLS {
            tools.note(tool.name, go_tool(&shelf, tool));
        }
        tools.note("gh-current", gh_current(&shelf));
        tools.note("cargo-deny", cargo_deny(&shelf));
        tools.note("garage", garage(&shelf));
        tools.note("npm-modules", npm_modules(&shelf));
        tools.note("python", python(&shelf));
        if crate::run::stopped() {
            bail!("stopped while setting up");
        }
        Ok(tools)
    }

    /// Installs what `cargo xtask bench` needs and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Tools::set_up`].
    pub(crate) fn for_bench() -> anyhow::Result<Self> {
        let mut tools = Self::default();
        let shared =
            DEBIAN.iter().filter(|(package, _)| ["nginx-light", "skopeo", "util-linux"].contains(package));
        tools.install(&[BENCH_DEBIAN, shared.copied().collect::<Vec<_>>().as_slice()].concat());
        let shelf = shelf()?;
        for tool in BENCH_GO_TOOLS {
            tools.note(tool.name, go_tool(&shelf, tool));
        }
        Ok(tools)
    }

    /// Looks for the programs of Debian's packages, after installing what is missing as far as this user may.
    fn install(&mut self, packages: &[(&'static str, &'static [&'static str])]) {
        let trouble = install_packages(packages).err();
        for (package, programs) in packages {
            for program in *programs {
                match find(program) {
                    Some(path) => drop(self.found.insert(program, path)),
                    None => {
                        let why =
                            trouble.as_ref().map_or_else(String::new, |trouble| format!(": {trouble:#}"));
                        self.missing.insert(program, format!("Debian's package `{package}`{why}"));
                    }
                }
            }
        }
    }

    fn note(&mut self, name: &'static str, tool: anyhow::Result<PathBuf>) {
        match tool {
            Ok(path) => drop(self.found.insert(name, path)),
            Err(error) => drop(self.missing.insert(name, format!("{error:#}"))),
        }
    }

    /// Where a tool is, if it is.
    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.found.get(name).map(PathBuf::as_path)
    }

    /// The tools that could not be had, with the reason.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.missing.iter().map(|(name, why)| (*name, why.as_str()))
    }

    /// What tells the tests where each tool is: `PACKHOUSE_TEST_<NAME>`.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, &Path)> {
        self.found.iter().map(|(name, path)| {
            (format!("PACKHOUSE_TEST_{}", name.to_uppercase().replace('-', "_")), path.as_path())
        })
    }
}

/// `cargo xtask tools`: sets up and lists; false when something is missing.
///
/// # Errors
///
/// As [`Tools::set_up`].
pub(crate) fn report() -> anyhow::Result<bool> {
    let tools = Tools::set_up()?;
    for (variable, path) in tools.variables() {
        println!("{variable}={}", path.display());
    }
    for (name, why) in tools.missing() {
        println!("missing: {name} ({why})");
    }
    Ok(tools.missing.is_empty())
}

/// One call of apt-get for all packages that are missing; none when none is.
fn install_packages(packages: &[(&'static str, &'static [&'static str])]) -> anyhow::Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, programs)| programs.iter().any(|program| find(program).is_none()))
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("needs root: `apt-get install {}`", missing.join(" "));
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        let ran = loudly(&mut command)?;
        if !ran.status.success() {
            bail!("`apt-get {}` failed ({})", words.join(" "), ran.status);
        }
        Ok(())
    };
    // A third party's list that cannot be fetched is no trouble, as long as the packages can be.
    let stale = apt(&["update"]).err();
    let installed = apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat());
    match (installed, stale) {
        (Err(error), Some(stale)) => Err(error.context(format!("{stale:#}"))),
        (installed, _) => installed,
    }
}

/// A program on `PATH` or in the folders of services; PostgreSQL keeps its programs elsewhere.
fn find(program: &str) -> Option<PathBuf> {
    if program == "postgresql" {
        return crate::postgres::programs();
    }
    if program == "python3-venv" {
        let mut has = Command::new("python3");
        has.args(["-c", "import ensurepip, venv"]);
        return quietly(&mut has).is_ok_and(|ran| ran.status.success()).then(|| PathBuf::from("python3"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Where tools are kept from run to run: outside `target`, so that `cargo clean` does not cost an hour.
fn shelf() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = cache.or_else(home).context("neither XDG_CACHE_HOME nor HOME says where to keep tools")?;
    Ok(cache.join("packhouse-tools"))
}

fn go_tool(shelf: &Path, tool: &GoTool) -> anyhow::Result<PathBuf> {
    let program = tool.package.rsplit('/').next().unwrap_or(tool.package);
    built_once(shelf, tool.name, tool.version, program, |folder| {
        let mut command = Command::new("go");
        command
            .args(["install", "-trimpath", "-ldflags=-s -w"])
            .arg(format!("{}@{}", tool.package, tool.version))
            .env("GOBIN", folder.join("bin"));
        command
    })
}

/// Built by a module that requires it: `go install` of one version asks for the list of all versions, which not every
/// mirror has.
fn gh_current(shelf: &Path) -> anyhow::Result<PathBuf> {
    built_once(shelf, "gh-current", GH_CURRENT, "gh", |folder| {
        let folder = folder.display();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "mkdir '{folder}/source' && cd '{folder}/source' && go mod init packhouse.test/tools && \
             go mod edit -require=github.com/cli/cli/v2@{GH_CURRENT} && \
             go build -mod=mod -trimpath -ldflags='-s -w' -o ../bin/gh github.com/cli/cli/v2/cmd/gh"
        ));
        command
    })
}

fn cargo_deny(shelf: &Path) -> anyhow::Result<PathBuf> {
    built_once(shelf, "cargo-deny", CARGO_DENY, "cargo-deny", |folder| {
        let mut command = Command::new("cargo");
        command.args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY, "--root"]).arg(folder);
        // Its own build folder: not a target of this workspace.
        command.env_remove("CARGO_TARGET_DIR");
        command
    })
}

fn garage(shelf: &Path) -> anyhow::Result<PathBuf> {
    built_once(shelf, "garage", GARAGE, "garage", |folder| {
        let mut command = Command::new("cargo");
        command.args(["install", "garage", "--locked", "--version", GARAGE, "--no-default-features"]);
        command.args(["--features", "bundled-libs,sqlite", "--root"]).arg(folder);
        // Its own build folder: not a target of this workspace.
        command.env_remove("CARGO_TARGET_DIR");
        command
    })
}

/// What `tests/npm` names, in the versions that its lock file holds.
fn npm_modules(shelf: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/npm");
    let version = version_of(&source.join("package-lock.json"))?;
    built_once(shelf, "npm-modules", &version, "complete", |folder| {
        let (source, folder) = (source.display(), folder.display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "cp '{source}/package.json' '{source}/package-lock.json' '{folder}/' && cd '{folder}' && \
             npm ci --ignore-scripts --no-audit --no-fund && mkdir bin && touch bin/complete"
        ));
        command
    })
    .map(|complete| complete.ancestors().nth(2).map_or(complete.clone(), |place| place.join("node_modules")))
}

/// A Python with the libraries that `tests/python/requirements.txt` holds.
fn python(shelf: &Path) -> anyhow::Result<PathBuf> {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/requirements.txt");
    let version = version_of(&requirements)?;
    built_once(shelf, "python", &version, "python", |folder| {
        let (requirements, folder) = (requirements.display(), folder.display());
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(
            "python3 -m venv '{folder}' && '{folder}/bin/python' -m pip install --quiet --no-deps \
             --disable-pip-version-check --requirement '{requirements}'"
        ));
        command
    })
}

/// A short name for what a file says, so that other words make another tool.
fn version_of(file: &Path) -> anyhow::Result<String> {
    use std::hash::{DefaultHasher, Hasher as _};
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&bytes);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The program in `<shelf>/<name>-<version>/bin`, built if it is not there. It is built beside and moved into
/// place, so that a broken build is not taken for a tool.
fn built_once(
    shelf: &Path,
    name: &str,
    version: &str,
    program: &str,
    build: impl FnOnce(&Path) -> Command,
) -> anyhow::Result<PathBuf> {
    let place = shelf.join(format!("{name}-{version}"));
    let file = place.join("bin").join(program);
    if file.is_file() {
        return Ok(file);
    }
    println!("building {name} {version}");
    std::fs::create_dir_all(shelf).with_context(|| format!("cannot make the folder {}", shelf.display()))?;
    let workshop = tempfile::Builder::new().prefix(name).tempdir_in(shelf)?;
    let mut command = build(workshop.path());
    let line = crate::run::shown(&command);
    let ran = quietly(&mut command)?;
    if !ran.status.success() {
        bail!("`{line}` failed ({}):\n{}", ran.status, ran.output);
    }
    if place.exists() {
        std::fs::remove_dir_all(&place)?;
    }
    std::fs::rename(workshop.keep(), &place)
        .with_context(|| format!("cannot move {name} to {}", place.display()))?;
    Ok(file)
}
