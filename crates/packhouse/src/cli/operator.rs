//! An operator's command: by the running server if there is one, by ourselves under the lock if not.

use super::args::OperatorFlags;
use super::flags::ConfigFlags;
use super::output;
use crate::config::{self, Config, Loaded};
use crate::lock::{DataFolder, LockError};
use crate::{serve, socket, telemetry};
use anyhow::{Context, bail};
use packhouse_service::Service;
use packhouse_service::operator::{Answer, Command};
use std::cell::RefCell;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// How long to wait for a server that holds the lock but does not listen yet, or no longer.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Of our own work only what went wrong is of interest.
const LOG_FILTER: &str = "warn";

/// Runs a command and prints what came of it.
pub(super) fn run(command: Command, flags: &OperatorFlags) -> anyhow::Result<()> {
    let answer = ask(command, flags)?;
    output::print(&if flags.json { output::json_of(answer)? } else { output::text_of(answer)? })
}

/// Does a command that makes a token, and prints the token alone.
pub(super) fn run_quietly(command: Command, flags: &OperatorFlags) -> anyhow::Result<()> {
    match ask(command, flags)? {
        Answer::Token { token, .. } => output::print(&(token + "\n")),
        answer => output::print(&output::text_of(answer)?),
    }
}

fn ask(command: Command, flags: &OperatorFlags) -> anyhow::Result<Answer> {
    Desk::open(flags)?.ask(command)
}

/// Where commands are given, one or several.
pub(super) struct Desk {
    /// The house, opened by ourselves: it stays open from one command to the next, for work of many steps. Before the
    /// runtime, on which its tasks are.
    own: RefCell<Option<Own>>,
    config: Config,
    runtime: Runtime,
    /// Behind all that may log.
    _log: telemetry::logs::Flushing,
}

/// A house that no server has open. The service goes before the lock.
struct Own {
    service: Service,
    _folder: DataFolder,
}

impl Desk {
    pub(super) fn open(flags: &OperatorFlags) -> anyhow::Result<Self> {
        let inputs = ConfigFlags::of_data(flags.data.clone(), flags.config.clone()).into_inputs();
        let Loaded { config, .. } = config::load(inputs)?;
        let log = telemetry::logs::begin(LOG_FILTER, config.log_format)?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start")?;
        Ok(Self { own: RefCell::default(), config, runtime, _log: log })
    }

    pub(super) fn ask(&self, command: Command) -> anyhow::Result<Answer> {
        self.runtime.block_on(async {
            let own = self.own.borrow().as_ref().map(|own| own.service.clone());
            if let Some(service) = own {
                return Ok(service.operate(command).await);
            }
            let (answer, own) = answer(&self.config, command).await?;
            *self.own.borrow_mut() = own;
            Ok(answer)
        })
    }
}

async fn answer(config: &Config, command: Command) -> anyhow::Result<(Answer, Option<Own>)> {
    // A mistyped folder would otherwise become an empty registry.
    if !config.data.is_dir() {
        bail!(
            "there is no data folder `{}`; name the server's folder with --data, or start `packhouse serve` first",
            config.data.display()
        );
    }
    let began = Instant::now();
    loop {
        if let Some(answer) = socket::ask(&config.data, &command).await? {
            return Ok((answer, None));
        }
        match DataFolder::open(&config.data) {
            Ok(folder) => {
                let (answer, own) = ourselves(config, folder, command).await?;
                return Ok((answer, Some(own)));
            }
            // It is just starting or ending.
            Err(LockError::Held { .. }) if began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn ourselves(config: &Config, folder: DataFolder, command: Command) -> anyhow::Result<(Answer, Own)> {
    let opened = serve::open(config, &folder).await?;
    if let Some(first) = &opened.first_start {
        // The folder was empty, so this was the first start, and the token is shown at no other time. Not on
        // stdout: that is for the answer.
        output::note(&serve::welcome(config, config.listen, first));
    }
    let answer = opened.service.operate(command).await;
    Ok((answer, Own { service: opened.service, _folder: folder }))
}
