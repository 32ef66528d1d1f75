//! TLS by certificate files, read again when they change.
//!
//! Whether they changed is asked when a connection comes, at most once a second, by their metadata: that works
//! for files written in place, renamed over, and for the symbolic links that Kubernetes and ACME clients swap,
//! and needs no watcher. A pair that cannot be used is logged and the one in use stays.
//!
//! Left out: client certificates, several certificates by name (a reverse proxy does that), OCSP stapling.

use crate::config::TlsFiles;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

/// Shortest time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the files cannot be read.
    #[error("cannot read the TLS {what} `{}`", file.display())]
    Unreadable {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// One of the files is not PEM, or holds something else.
    #[error("the TLS {what} `{}` holds no usable PEM {what} ({cause})", file.display())]
    NotPem {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// The parser's words.
        cause: pem::Error,
    },
    /// They do not belong together, or their kind is not supported.
    #[error("the TLS certificate `{}` cannot be used with the key `{}`", certificate.display(), key.display())]
    Unusable {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
}

/// The certificate in use.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    stamps: [Option<Stamp>; 2],
    looked: Instant,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Files that are unreadable, no PEM, or do not belong together. There is no falling back to plain HTTP.
    pub fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        let config = Arc::new(read(&files)?);
        Ok(Self { files, current: Mutex::new(Current { config, stamps, looked: Instant::now() }) })
    }

    /// What accepts the next connection, with the files' certificate as of at most a second ago.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        // Nothing under this lock panics; if it ever does, the certificate in it is still whole.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(current.looked) >= LOOK_INTERVAL {
            current.looked = now;
            self.look(&mut current);
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }

    fn look(&self, current: &mut Current) {
        // Before reading: a change while reading is then seen as a new one by the next look.
        let stamps = stamps(&self.files);
        if stamps == current.stamps {
            return;
        }
        current.stamps = stamps;
        let certificate = self.files.certificate.display();
        match read(&self.files) {
            Ok(config) => {
                current.config = Arc::new(config);
                info!("read the changed TLS certificate `{certificate}`");
            }
            // Certificate and key are often written one after the other; the second change is looked at again.
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(%error, cause, "the changed TLS certificate cannot be used; the old one stays in use");
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|cause| unreadable("certificate", &files.certificate, cause))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|cause| unreadable("key", &files.key, cause))?;
    let unusable =
        |cause| TlsError::Unusable { certificate: files.certificate.clone(), key: files.key.clone(), cause };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn unreadable(what: &'static str, file: &Path, cause: pem::Error) -> TlsError {
    let file = file.to_owned();
    match cause {
        pem::Error::Io(cause) => TlsError::Unreadable { what, file, cause },
        cause => TlsError::NotPem { what, file, cause },
    }
}

/// What changes when a file is written, replaced, or when a link to it is turned elsewhere.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamps(files: &TlsFiles) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|file| std::fs::metadata(file).ok().map(|metadata| stamp(&metadata)))
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        place: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}
