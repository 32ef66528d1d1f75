//! What people and programs read of the figures.

mod markdown;
mod page;
mod plot;
mod terminal;

pub(crate) use terminal::print_list;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use crate::args::Arguments;
use crate::figures::Figures;
use crate::goals::{self, Reached};
use crate::machine::Machine;
use crate::programs;
use crate::targets::{Kit, TARGETS};
use crate::work::{self as works, LEFT_OUT};

/// Everything about one run of the command.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) made_at: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    pub(crate) seconds: f64,
    pub(crate) entries: u64,
    /// What the catalogs of `growth` hold.
    pub(crate) catalogs: Vec<Catalog>,
    pub(crate) targets: Vec<Target>,
    pub(crate) goals: Vec<Reached>,
    pub(crate) works: Vec<Figures>,
    pub(crate) left_out: BTreeMap<&'static str, &'static str>,
}

/// How much one target of `growth` holds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Catalog {
    pub(crate) target: String,
    pub(crate) packages: u32,
    pub(crate) versions: u32,
}

/// What has to be said of a target beside its figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) durability: String,
    pub(crate) authentication: String,
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) environment: BTreeMap<&'static str, &'static str>,
    pub(crate) configuration: &'static str,
}

impl Report {
    pub(crate) fn new(arguments: &Arguments, machine: Machine, kit: &Kit, works: Vec<Figures>) -> Self {
        let used = |name: &str| works.iter().any(|work| work.of(name).is_some());
        let mut targets: Vec<Target> = TARGETS
            .iter()
            .filter(|target| used(target.name))
            .map(|target| Target {
                name: target.name.to_owned(),
                version: kit
                    .programs
                    .get(target.program)
                    .map(|file| programs::version(file))
                    .unwrap_or_default(),
                durability: target.durability.to_owned(),
                authentication: target.authentication.to_owned(),
                arguments: target.arguments.to_vec(),
                environment: target.environment.iter().copied().collect(),
                configuration: target.template,
            })
            .collect();
        targets.extend(kit.urls.iter().filter(|url| used(&url.name)).map(|url| Target {
            name: url.name.clone(),
            version: "unknown".to_owned(),
            durability: "unknown".to_owned(),
            authentication: "as it asks for".to_owned(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            configuration: "",
        }));
        let sizes = works::sizes(works::large(arguments.growth, arguments.growth_versions));
        let catalogs = sizes.into_iter().map(|(target, size)| {
            let packhouse_growth::Size { packages, versions } = size;
            Catalog { target, packages, versions }
        });
        let catalogs = catalogs.filter(|catalog| used(&catalog.target)).collect();
        Self {
            made_at: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            command: command(),
            machine,
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            entries: arguments.entries,
            catalogs,
            targets,
            goals: goals::reached(&works),
            works,
            left_out: LEFT_OUT.iter().copied().collect(),
        }
    }

    /// What of it is about growth, or what is not; none when that was not measured.
    fn part(&self, growth: bool) -> Option<Self> {
        let mut part = self.clone();
        part.works.retain(|figures| figures.is_of_growth() == growth);
        let used = |name: &str| part.works.iter().any(|figures| figures.of(name).is_some());
        part.targets.retain(|target| used(&target.name));
        part.goals.retain(|goal| part.works.iter().any(|figures| figures.id == goal.id));
        if growth {
            part.left_out.clear();
        } else {
            part.catalogs.clear();
        }
        (!part.works.is_empty()).then_some(part)
    }

    /// Prints it, and writes the files that were asked for.
    pub(crate) fn write(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        let (page, plot) = (markdown::page(self), plot::svg(self));
        write_all(
            &arguments.output,
            &[("results.json", &json), ("results.md", &page), ("results.svg", &plot)],
        )?;
        if arguments.docs {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
            // Each in its own place, since growth is measured rarely: it takes long, and a lot of disk.
            for (name, growth) in [("results", false), ("growth", true)] {
                let Some(part) = self.part(growth) else { continue };
                let (json, plot) = (serde_json::to_string_pretty(&part)?, plot::svg(&part));
                let files = [(&*format!("{name}.json"), &json), (&*format!("{name}.svg"), &plot)];
                write_all(&docs.join("benchmarks"), &files)?;
                let picture = format!("![What was measured](benchmarks/{name}.svg)");
                page::put(
                    &docs.join("benchmarks.md"),
                    name,
                    &format!("{picture}\n\n{}", markdown::page(&part)),
                )?;
            }
        }
        if arguments.json {
            println!("{json}");
        } else {
            terminal::print(self);
            println!("results.json, results.md and results.svg are in {}", arguments.output.display());
        }
        Ok(())
    }
}

fn write_all(folder: &Path, files: &[(&str, &String)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The command as somebody else types it: without the passwords of URLs, and without folders of this machine.
fn command() -> String {
    let mut words = vec!["cargo xtask bench --".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(word) = arguments.next() {
        let (name, joined) = word.split_once('=').map_or((word.as_str(), false), |(name, _)| (name, true));
        if matches!(name, "--scratch" | "--output" | "--packhouse" | "--certificate" | "--url") {
            let value = if joined { None } else { arguments.next() };
            if name == "--url" {
                let given = value.unwrap_or_else(|| word["--url=".len()..].to_owned());
                words.push(format!("--url {}=…", given.split('=').next().unwrap_or_default()));
            }
            continue;
        }
        words.push(word);
    }
    words.join(" ")
}
