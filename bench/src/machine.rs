//! What the figures were measured on.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// The machine, as far as figures depend on it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gigabytes: f64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    /// Whether what is synced survives a power cut at all.
    pub(crate) in_memory: bool,
    /// Processes that wanted a core before the first run: who was there beside.
    pub(crate) load_before: f64,
}

impl Machine {
    pub(crate) fn look(scratch: &Path) -> anyhow::Result<Self> {
        let read = |file: &str| std::fs::read_to_string(file).with_context(|| file.to_owned());
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let processor = value(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = value(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
        let memory: f64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        let load = read("/proc/loadavg")?;
        let (file_system, in_memory) = file_system(scratch)?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor,
            memory_gigabytes: memory * 1024.0 / 1e9,
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system,
            in_memory,
            load_before: load.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default(),
        })
    }
}

fn file_system(folder: &Path) -> anyhow::Result<(String, bool)> {
    // The numbers of statfs(2).
    let kind = rustix::fs::statfs(folder)?.f_type as u64 & 0xffff_ffff;
    Ok(match kind {
        0xef53 => ("ext4".to_owned(), false),
        0x5846_5342 => ("xfs".to_owned(), false),
        0x9123_683e => ("btrfs".to_owned(), false),
        0x0102_1994 => ("tmpfs".to_owned(), true),
        0x794c_7630 => ("overlayfs".to_owned(), false),
        0x2fc1_2fc1 => ("zfs".to_owned(), false),
        other => (format!("type {other:#x}"), false),
    })
}
