//! A target that runs.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::daemon::Daemon;
use super::list::{Kind, Listed, listed};
use super::meter::Meter;
use super::tls::{self, Certificate};
use crate::data::{Image, Random};
use crate::wire::{Client, Door, How};

/// How long a target may take from its start to its first answer.
const READY: Duration = Duration::from_secs(30);

/// The namespace of all packages: the one that Packhouse's first account has.
pub(crate) const NAMESPACE: &str = "admin";

/// A registry that runs somewhere, named on the command line.
#[derive(Debug, Clone)]
pub(crate) struct UrlTarget {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) certificate: Option<PathBuf>,
}

/// What is needed to start targets.
pub(crate) struct Kit {
    pub(crate) scratch: TempDir,
    pub(crate) programs: std::collections::BTreeMap<&'static str, PathBuf>,
    pub(crate) urls: Vec<UrlTarget>,
    certificate: Certificate,
    client: std::sync::Arc<rustls::ClientConfig>,
}

impl Kit {
    pub(crate) fn new(
        scratch: TempDir,
        programs: std::collections::BTreeMap<&'static str, PathBuf>,
        urls: Vec<UrlTarget>,
    ) -> anyhow::Result<Self> {
        let certificate = Certificate::make(scratch.path())?;
        let client = tls::client(&certificate.certificate)?;
        Ok(Self { scratch, programs, urls, certificate, client })
    }

    /// Starts a target with an empty folder. `shared` is what the targets of files show.
    pub(crate) async fn start(&self, name: &str, tls: bool, shared: &Path) -> anyhow::Result<Service> {
        if let Some(target) = self.urls.iter().find(|target| target.name == name) {
            return Service::elsewhere(target);
        }
        let listed = listed(name).with_context(|| format!("there is no target {name}"))?;
        let program =
            self.programs.get(listed.program).with_context(|| format!("{} is not here", listed.program))?;
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(self.scratch.path())?;
        let mut random = Random::new()?;
        let mut service = Service {
            name: name.to_owned(),
            kind: listed.kind,
            door: Door { address: ([127, 0, 0, 1], 0).into(), host: String::new(), tls: None, basic: None },
            // As long as its own tokens are, and printable.
            secret: random.bytes(20).iter().map(|byte| format!("{byte:02x}")).collect(),
            listed: Some(listed),
            program: program.clone(),
            tls: tls.then(|| (self.certificate.clone(), std::sync::Arc::clone(&self.client))),
            shared: shared.to_owned(),
            daemon: None,
            meter: Meter::none(),
            took: Duration::ZERO,
            folder: Some(folder),
        };
        service.open().await?;
        Ok(service)
    }
}

/// A target that answers. Dropping it ends its program and removes its folder.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) door: Door,
    secret: String,
    listed: Option<&'static Listed>,
    program: PathBuf,
    tls: Option<(Certificate, std::sync::Arc<rustls::ClientConfig>)>,
    shared: PathBuf,
    /// In front of the folder: what is dropped first.
    daemon: Option<Daemon>,
    meter: Meter,
    /// From its last start to its first answer.
    pub(crate) took: Duration,
    folder: Option<TempDir>,
}

impl Service {
    fn elsewhere(target: &UrlTarget) -> anyhow::Result<Self> {
        let (scheme, rest) = target.url.split_once("://").context("a URL begins with http:// or https://")?;
        let rest = rest.trim_end_matches('/');
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        let (with_port, tls) = match scheme {
            "http" => (format!("{host}:80"), None),
            "https" => {
                let file = target.certificate.as_deref().context("https:// needs `--certificate FILE`")?;
                (format!("{host}:443"), Some(tls::client(file)?))
            }
            _ => bail!("{scheme}:// is neither http:// nor https://"),
        };
        let given = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let place = if given { host } else { &with_port };
        let address = place.to_socket_addrs()?.next().with_context(|| format!("{host} has no address"))?;
        let basic = user.map(|user| STANDARD.encode(user));
        Ok(Self {
            name: target.name.clone(),
            kind: Kind::Peer,
            door: Door { address, host: host.to_owned(), tls, basic },
            secret: String::new(),
            listed: None,
            program: PathBuf::new(),
            tls: None,
            shared: PathBuf::new(),
            daemon: None,
            meter: Meter::none(),
            took: Duration::ZERO,
            folder: None,
        })
    }

    /// Starts its program (again), on the folder it has.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        let (Some(listed), Some(folder)) = (self.listed, &self.folder) else { bail!("not ours to start") };
        let folder = folder.path();
        self.daemon = None;
        let address = free_port()?;
        let fill = |text: &str| {
            text.replace("{folder}", &folder.display().to_string())
                .replace("{shared}", &self.shared.display().to_string())
                .replace("{port}", &address.port().to_string())
        };
        if let Some((certificate, _)) = &self.tls {
            std::fs::copy(&certificate.certificate, folder.join("certificate.pem"))?;
            std::fs::copy(&certificate.key, folder.join("key.pem"))?;
        }
        std::fs::write(
            folder.join(listed.file),
            fill(&with_or_without_tls(listed.template, self.tls.is_some())),
        )?;
        let arguments: Vec<String> = listed.arguments.iter().map(|word| fill(word)).collect();
        let mut environment: Vec<(String, String)> = listed
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.door = Door { address, host: address.to_string(), tls: None, basic: None };
        self.door.tls = self.tls.as_ref().map(|(_, client)| std::sync::Arc::clone(client));
        if self.kind == Kind::Packhouse {
            environment.push(("PACKHOUSE_ADMIN_TOKEN".to_owned(), self.secret.clone()));
            self.door.basic = Some(STANDARD.encode(format!("{NAMESPACE}:{}", self.secret)));
        }
        let start = Instant::now();
        let log = folder.join("log");
        let mut daemon = Daemon::start(&self.program, &arguments, &environment, folder, &log)?;
        loop {
            // Any answer will do: a registry that wants a token answers 401.
            if Client::new(&self.door).call("GET", "/v2/", &[], &[]).await.is_ok() {
                break;
            }
            if daemon.ended() || start.elapsed() > READY {
                bail!("{} does not answer; its log ends with\n{}", self.name, end_of(&log));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.took = start.elapsed();
        self.meter = Meter::of(daemon.process());
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends its program and keeps its folder.
    pub(crate) fn close(&mut self) {
        self.daemon = None;
        self.meter = Meter::none();
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Its folder, when it is on this machine.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// Its program, for the operator's commands.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// `user:password` for clients, where they need one.
    pub(crate) fn credentials(&self) -> Option<String> {
        let basic = self.door.basic.as_deref()?;
        String::from_utf8(STANDARD.decode(basic).ok()?).ok()
    }

    /// A client that may pull from and push to these packages.
    pub(crate) async fn client(&self, packages: &[&str]) -> anyhow::Result<Client> {
        let scopes: Vec<String> =
            packages.iter().map(|package| format!("repository:{package}:pull,push")).collect();
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        Client::signed_in(&self.door, &scopes).await.with_context(|| format!("signing in at {}", self.name))
    }

    /// Puts an image there, outside of anything that is measured.
    pub(crate) async fn put_image(&self, package: &str, tag: &str, image: &Image) -> anyhow::Result<()> {
        if self.kind != Kind::Limit {
            let pushed = self.client(&[package]).await?.push_image(package, tag, image, How::Monolith).await;
            return Ok(pushed?);
        }
        let place = self.shared.join("v2").join(package);
        let (manifests, blobs) = (place.join("manifests"), place.join("blobs"));
        std::fs::create_dir_all(&manifests)?;
        std::fs::create_dir_all(&blobs)?;
        for name in [tag, &image.digest] {
            std::fs::write(manifests.join(name), &image.manifest)?;
        }
        for blob in &image.blobs {
            let file = blobs.join(&blob.digest);
            // The targets of files share one folder.
            if !file.exists() {
                std::fs::write(file, blob.pieces().concat())?;
            }
        }
        Ok(())
    }
}

/// A template without the lines about TLS, or with them.
fn with_or_without_tls(template: &str, tls: bool) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in template.lines() {
        match line.trim() {
            "# tls: begin" => inside = true,
            "# tls: end" => inside = false,
            _ if inside && !tls => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// A port that was free a moment ago. Targets cannot all say which one they got, so all are told.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn end_of(file: &Path) -> String {
    let text =
        std::fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::with_or_without_tls;

    #[test]
    fn a_template_has_its_lines_about_tls_only_with_tls() {
        let template = "a\n# tls: begin\nb\n# tls: end\nc\n";
        assert_eq!(with_or_without_tls(template, true), "a\nb\nc\n");
        assert_eq!(with_or_without_tls(template, false), "a\nc\n");
    }
}
