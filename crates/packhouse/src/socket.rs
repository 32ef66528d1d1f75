//! The operator's socket: how the command line talks to the running server.
//!
//! `packhouse.sock` in the data folder, for its owner only; who can open it can open the catalog's file as well.
//! One line of JSON asks, one line of JSON answers, and the connection ends.
//! Left out: several commands on one connection; requests from other machines.

use crate::lock::DataFolder;
use crate::transport::{Phase, Running};
use packhouse_service::operator::{Answer, Command};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

const FILE_NAME: &str = "packhouse.sock";
/// Longest request. A command holds a few names.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// Longest answer. A list has at most 10,000 rows.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// For a request to come, and for an answer to be taken.
const LINE_TIME: Duration = Duration::from_secs(10);
/// For an answer to come, waiting for the catalog included.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// Commands at once.
const CONNECTIONS_MAX: usize = 16;
/// Longest path that `sockaddr_un` takes on every system, with its final zero.
const PATH_BYTES_MAX: usize = 104;

/// Why the socket did not work.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It cannot be made.
    #[error("cannot make the operator's socket `{}`", path.display())]
    Bind {
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The connection to the server broke, or it took too long.
    #[error("the server did not answer on `{}`; its log may say why", path.display())]
    Broken {
        /// Its path.
        path: PathBuf,
        /// What happened.
        #[source]
        cause: io::Error,
    },
    /// The answer is none that this program knows.
    #[error("the server's answer cannot be read; is it another version of packhouse?")]
    Answer(#[source] serde_json::Error),
}

/// The server's end. Its file goes when it is dropped.
#[derive(Debug)]
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Makes the socket in a folder that is locked, so a file that is there already is a dead server's.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn bind(folder: &DataFolder) -> Result<Self, SocketError> {
        let path = folder.path().join(FILE_NAME);
        let bind = || {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            let short = ShortPath::of(folder.path())?;
            let listener = UnixListener::bind(&short.path)?;
            // Until here the folder's mode and the process's umask keep others out.
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        match bind() {
            Ok(listener) => Ok(Self { listener, path }),
            Err(cause) => Err(SocketError::Bind { path, cause }),
        }
    }

    /// Answers commands until draining begins.
    pub async fn serve<F, A>(self, operate: F, mut running: Running)
    where
        F: Fn(Command) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send,
    {
        let operate = Arc::new(operate);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = running.left(Phase::Running) => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept on the operator's socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (operate, running) = (Arc::clone(&operate), running.clone());
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &*operate).await {
                    debug!(%error, "an operator's connection ended early");
                }
                drop((place, running));
            });
        }
    }
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        // What is left behind is removed by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse<F, A>(mut stream: UnixStream, operate: &F) -> io::Result<()>
where
    F: Fn(Command) -> A,
    A: Future<Output = Answer>,
{
    // The mode of the file says the same; folders on odd file systems may not keep it.
    let (caller, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if caller != own && caller != 0 {
        warn!(uid = caller, "refused a command of another user on the operator's socket");
        return Ok(());
    }
    let line = timeout(LINE_TIME, read_line(&mut stream, REQUEST_BYTES_MAX)).await??;
    let answer = match serde_json::from_slice::<Command>(&line) {
        Ok(command) => operate(command).await,
        Err(error) => Answer::Refused {
            message: format!(
                "the server does not know this command ({error}); is it another version of packhouse?"
            ),
        },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    timeout(LINE_TIME, stream.write_all(&line)).await?
}

/// Asks the server that runs on a folder. None: no server runs there.
///
/// # Errors
/// The server is there but does not answer, or not in a way we know.
pub async fn ask(folder: &Path, command: &Command) -> Result<Option<Answer>, SocketError> {
    let path = folder.join(FILE_NAME);
    let connected = async { UnixStream::connect(&ShortPath::of(folder)?.path).await };
    let mut stream = match connected.await {
        Ok(stream) => stream,
        // No file; a file that a dead server left.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(cause) => return Err(SocketError::Broken { path, cause }),
    };
    let talk = async {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        read_line(&mut stream, ANSWER_BYTES_MAX).await
    };
    let line = match timeout(ANSWER_TIME, talk).await {
        Ok(Ok(line)) => line,
        Ok(Err(cause)) => return Err(SocketError::Broken { path, cause }),
        Err(elapsed) => return Err(SocketError::Broken { path, cause: elapsed.into() }),
    };
    serde_json::from_slice(&line).map(Some).map_err(SocketError::Answer)
}

async fn read_line(stream: &mut UnixStream, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(bytes_max)).read_until(b'\n', &mut line).await?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// A path to the socket that fits into `sockaddr_un`, however long the folder's is.
struct ShortPath {
    path: PathBuf,
    /// Keeps the number in `/proc/self/fd` valid.
    _folder: Option<File>,
}

impl ShortPath {
    fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        if path.as_os_str().as_bytes().len() < PATH_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let open = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(FILE_NAME);
        Ok(Self { path, _folder: Some(open) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::lifecycle;

    async fn echo(command: Command) -> Answer {
        Answer::Done { message: format!("{command:?}") }
    }

    fn list() -> Command {
        Command::UserList
    }

    #[tokio::test]
    async fn a_command_is_answered_and_the_file_is_the_owners_and_goes() {
        for depth in [0, 12] {
            let temporary = tempfile::tempdir().unwrap();
            let path = temporary.path().join(vec!["a-long-name"; depth].join("/"));
            let folder = DataFolder::open(&path).unwrap();
            assert!(ask(&path, &list()).await.unwrap().is_none());
            // What a killed server leaves.
            std::fs::write(path.join(FILE_NAME), "").unwrap();

            let socket = OperatorSocket::bind(&folder).unwrap();
            let mode = std::fs::metadata(path.join(FILE_NAME)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let (stop, running) = lifecycle();
            let server = tokio::spawn(socket.serve(echo, running));
            let answer = ask(&path, &list()).await.unwrap().unwrap();
            assert_eq!(answer, Answer::Done { message: "UserList".to_owned() });

            stop.enter(Phase::Draining);
            server.await.unwrap();
            assert!(ask(&path, &list()).await.unwrap().is_none());
            assert!(!path.join(FILE_NAME).exists());
        }
    }

    #[tokio::test]
    async fn nonsense_and_floods_are_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temporary.path()).unwrap();
        let (_stop, running) = lifecycle();
        let path = temporary.path().join(FILE_NAME);
        tokio::spawn(OperatorSocket::bind(&folder).unwrap().serve(echo, running));

        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"{\"nuke\":1}\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("{\"refused\":{\"message\":\"the server does not know"), "{answer}");

        let mut stream = UnixStream::connect(&path).await.unwrap();
        // It may hang up before all is written.
        let _ = stream.write_all(&vec![b'x'; 1 << 20]).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
}
