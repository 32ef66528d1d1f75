//! What a target costs, as the kernel counts it.

/// The kernel's unit of processor time in `/proc`, whatever its own clock (`USER_HZ`, part of its interface).
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes of one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    processes: Vec<u32>,
}

impl Meter {
    /// A target somewhere else, of which nothing can be read.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// This program itself: the generator.
    pub(crate) fn own() -> Self {
        Self { processes: vec![std::process::id()] }
    }

    /// A process and all its children as they are now.
    pub(crate) fn of(process: u32) -> Self {
        let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
            .map(|entries| {
                entries.flatten().filter_map(|entry| parent_of(entry.file_name().to_str()?)).collect()
            })
            .unwrap_or_default();
        let mut processes = vec![process];
        let mut seen = 0;
        while let Some(parent) = processes.get(seen).copied() {
            seen += 1;
            processes.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        }
        Self { processes }
    }

    /// Processor seconds since they started, in user and kernel mode, on all threads.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.sum(|process| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // Behind the name, which may hold anything: the 14th and 15th field of proc_pid_stat(5).
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let (user, kernel): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            Some((user + kernel) / TICKS_PER_SECOND)
        })
    }

    /// Resident bytes now.
    pub(crate) fn resident(&self) -> Option<f64> {
        self.sum(|process| status(process, "VmRSS:"))
    }

    /// The most bytes that were resident since [`Meter::reset`].
    pub(crate) fn peak(&self) -> Option<f64> {
        self.sum(|process| status(process, "VmHWM:"))
    }

    /// Forgets the peak so far.
    pub(crate) fn reset(&self) {
        for process in &self.processes {
            // Refused without the right to: the peak is then the one since the start, which is no less.
            let _ = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
        }
    }

    fn sum(&self, of: impl Fn(u32) -> Option<f64>) -> Option<f64> {
        if self.processes.is_empty() {
            return None;
        }
        self.processes.iter().map(|process| of(*process)).sum()
    }
}

fn parent_of(process: &str) -> Option<(u32, u32)> {
    let number = process.parse().ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
    Some((number, parent.parse().ok()?))
}

fn status(process: u32, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::Meter;

    #[test]
    fn this_program_can_be_read() {
        let meter = Meter::of(std::process::id());
        assert!(meter.cpu().unwrap() >= 0.0);
        assert!(meter.peak().unwrap() >= 1_000_000.0);
        assert_eq!(Meter::none().cpu(), None);
    }
}
