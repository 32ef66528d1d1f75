//! Debian's docker-registry, with a folder of its own: what people come from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::caller::{Caller, Identity};
use crate::daemon::Daemon;
use crate::operator::User;
use crate::tools::tool;
use crate::wait::until;

/// The one who may do everything there.
const USER: &str = "old";
const PASSWORD: &str = "swordfish";
/// The bcrypt of it, as `htpasswd -B` writes it.
const HASH: &str = "$2b$04$kV4k3FvfdMde0cCrspHfCOHTMWTVEnNvNO1S1qw5AhIB7Z2KIZm5O";

/// A registry of the distribution project on a free port, which asks for a user and a password.
#[derive(Debug)]
pub struct Distribution {
    daemon: Daemon,
    address: String,
    folder: TempDir,
}

impl Distribution {
    /// Starts it on an empty folder and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start; its log is in the message.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("packhouse-old-").tempdir().expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it has an address").to_string();
        drop(free);
        let (root, users) = (folder.path().join("root"), folder.path().join("users"));
        std::fs::write(&users, format!("{USER}:{HASH}\n")).expect("a file");
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  \
             addr: {address}\nauth:\n  htpasswd:\n    realm: old\n    path: {}\n",
            root.display(),
            users.display()
        );
        std::fs::write(&config, text).expect("a file");
        let mut command = Command::new(tool("docker-registry"));
        command.arg("serve").arg(&config);
        let daemon = Daemon::start(&command, &folder.path().join("log"));
        let mut registry = Self { daemon, address, folder };
        until("the old registry answers", Duration::from_secs(30), || {
            registry.daemon.must_be_running();
            std::net::TcpStream::connect(&registry.address).ok()
        });
        registry
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its `rootdirectory`.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Who may do everything there; the token is their password.
    #[must_use]
    pub fn user(&self) -> User {
        User { name: USER.to_owned(), token: PASSWORD.to_owned() }
    }

    /// Their door.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(&format!("http://{}", self.address), None, Identity::User(self.user()))
    }

    /// Where the bytes of a blob lie.
    #[must_use]
    pub fn file_of(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let blobs = self.root().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Ends it. Its folder stays.
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// A file with the password.
    #[track_caller]
    pub fn password_file(&self, desk: &Path) -> PathBuf {
        let file = desk.join("password");
        std::fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
        file
    }
}
