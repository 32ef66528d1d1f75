//! One step of an import: repositories, and in each its images.

use super::manifests::Visited;
use super::names::{Names, cut};
use super::{
    FAILED_MAX, Halt, ImportCursor, ImportOrder, ImportSource, ImportStep, LINES_MAX, PATIENCE, STEP_TIME,
    TRIES_MAX, TransferProblem, TransferSums,
};
use crate::access::caller;
use crate::{PushError, Service, Shown};
use packhouse_access::{Visibility, decide_operate};
use packhouse_catalog::Presented;
use packhouse_oci::{PackageName, Reference, Tag};
use packhouse_transfer::{Credential, Image, Layout, Registry, RegistryAddress, Source, SourceError, Tree};
use std::collections::HashSet;
use std::path::Path;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// An import under way.
pub(super) struct Importer<'s> {
    pub(super) service: &'s Service,
    pub(super) order: &'s ImportOrder,
    pub(super) source: Source,
    names: Names,
    visibility: Option<Visibility>,
    pub(super) deadline: Instant,
    /// Whether this step got on: none ends before.
    pub(super) moved: bool,
    pub(super) cursor: ImportCursor,
    pub(super) sums: TransferSums,
    pub(super) problems: Vec<TransferProblem>,
    pub(super) notes: Vec<TransferProblem>,
    /// Whether manifests that are here count: a tag of what was listed before is no news.
    pub(super) counting: bool,
    /// Manifests that are wholly here, of the repository at hand.
    pub(super) visited: Visited,
}

/// A repository at hand.
pub(super) struct Repository {
    /// Its name in the source.
    pub(super) from: String,
    /// Its package.
    pub(super) into: PackageName,
    /// Who pushes; nobody yet in a dry run that would make the organization.
    pub(super) shown: Option<Shown>,
}

impl Service {
    /// Imports for some seconds from where the cursor stands.
    ///
    /// # Errors
    /// What ends the whole import: a source that cannot be read, a fault of ours.
    pub(crate) async fn import_step(
        &self,
        order: &ImportOrder,
        cursor: Option<ImportCursor>,
    ) -> Result<ImportStep, String> {
        let mut waiting = None;
        let began = Instant::now();
        let cursor = cursor.unwrap_or_default();
        let tries = cursor.tries;
        let source = open(&order.source).await.map_err(|error| error.to_string())?;
        if order.package.is_some() && !source.is_one_repository() {
            return Err(
                "several repositories cannot become one package; name one of them, or use --to".to_owned()
            );
        }
        let ended = |halt: Halt| match halt {
            Halt::Ended(why) | Halt::Refused(why) | Halt::Wait(why) => why,
            Halt::Time => "the step has no time".to_owned(),
        };
        let names = Names::of(order).map_err(ended)?;
        let visibility = order.visibility.as_deref().map(str::parse::<Visibility>).transpose();
        let mut importer = Importer {
            service: self,
            order,
            source,
            names,
            visibility: visibility.map_err(|error| error.to_string())?,
            deadline: began + STEP_TIME,
            moved: false,
            cursor,
            sums: TransferSums::default(),
            problems: Vec::new(),
            notes: Vec::new(),
            counting: true,
            visited: Visited::default(),
        };
        let slow = || Halt::Wait("the source answers too slowly".to_owned());
        let halted = match importer.repositories().await {
            Err(Halt::Time) if !importer.moved => Err(slow()),
            halted => halted,
        };
        let more = match halted {
            Ok(()) => false,
            Err(Halt::Time) => true,
            Err(Halt::Wait(why)) => {
                importer.cursor.tries = if importer.moved { 1 } else { tries.saturating_add(1) };
                if importer.cursor.tries > TRIES_MAX {
                    return Err(format!(
                        "{why}; repeat the command when that is mended: what is here already is passed over"
                    ));
                }
                waiting = Some(why);
                true
            }
            Err(halt) => return Err(ended(halt)),
        };
        if waiting.is_none() {
            importer.cursor.tries = 0;
        }
        if !more && !order.dry_run {
            self.look_at_what_came().await;
        }
        let Importer { cursor, sums, problems, notes, .. } = importer;
        Ok(ImportStep { cursor: more.then_some(cursor), sums, problems, notes, waiting })
    }
}

impl Service {
    /// So that the catalog's plans are for what it holds now. It would find out by itself, later.
    async fn look_at_what_came(&self) {
        let now = self.clock.now();
        let looked = self.catalog.write(move |tx| {
            let operator = caller::<PushError>(tx, &Presented::Operator, now)?;
            let may = decide_operate(&operator)?;
            Ok::<_, PushError>(tx.analyze(&may)?)
        });
        if let Err(error) = looked.await {
            let error = packhouse_catalog::chain(&error);
            tracing::warn!(error, "the catalog's statistics are as before the import");
        }
    }
}

/// Opens a source. Paths come from the operator, so they are looked at as they are.
async fn open(source: &ImportSource) -> Result<Source, SourceError> {
    let open: Box<dyn FnOnce() -> Result<Source, SourceError> + Send> = match source.clone() {
        ImportSource::Distribution { root } => {
            Box::new(move || Tree::open(absolute(&root)?).map(Source::Tree))
        }
        ImportSource::Oci { path, tag } => Box::new(move || {
            let layout = Layout::open(absolute(&path)?)?;
            let tag = tag.map(|tag| tag.parse::<Tag>()).transpose().map_err(|error| SourceError::Answer {
                what: "the tag".to_owned(),
                why: error.to_string(),
            })?;
            match tag {
                Some(tag) => layout.one(&tag).map(Source::Layout),
                None => Ok(Source::Layout(layout)),
            }
        }),
        ImportSource::Registry { address, plain_http, user, secret } => Box::new(move || {
            let address = RegistryAddress::parse(&address, plain_http)?;
            let credential = secret.map(|secret| Credential {
                user: user.unwrap_or_else(|| "token".to_owned()),
                password: secret.0,
            });
            Registry::new(address, credential).map(Source::Registry)
        }),
    };
    spawn_blocking(open).await.unwrap_or_else(|_| {
        Err(SourceError::Answer {
            what: "opening the source".to_owned(),
            why: "a task ended early".to_owned(),
        })
    })
}

/// The server's own folder is not the one of who gives the command.
fn absolute(path: &Path) -> Result<&Path, SourceError> {
    if path.is_absolute() { Ok(path) } else { Err(SourceError::Name(path.display().to_string())) }
}

impl Importer<'_> {
    /// Whether the step should end. One that did nothing yet has more patience with a slow source, so that it gets
    /// on, but not so much that who asked gives up.
    pub(super) fn over(&self) -> bool {
        let now = Instant::now();
        let time = if self.moved { self.deadline } else { self.deadline + PATIENCE };
        now >= time || self.problems.len() + self.notes.len() >= LINES_MAX
    }

    pub(super) fn problem(&mut self, image: String, message: String) {
        self.problems.push(TransferProblem { image, message });
    }

    pub(super) fn note(&mut self, image: String, message: String) {
        self.notes.push(TransferProblem { image, message });
    }

    pub(super) fn fail(&mut self, digest: String) {
        if self.cursor.failed.len() < FAILED_MAX {
            self.cursor.failed.insert(digest);
        }
    }

    async fn repositories(&mut self) -> Result<(), Halt> {
        loop {
            if self.cursor.open {
                self.one_more_repository().await?;
            }
            let page = self.source.repositories(self.cursor.repositories.as_deref()).await.map_err(all)?;
            let last = self.cursor.repository.as_ref();
            let done = last.and_then(|last| page.items.iter().position(|name| name == last));
            for name in page.items.into_iter().skip(done.map_or(0, |at| at + 1)) {
                if !self.names.wants(&name) {
                    continue;
                }
                self.cursor.repository = Some(name);
                self.cursor.open = true;
                self.one_more_repository().await?;
            }
            match page.next {
                // A page that leads to itself is the last one.
                Some(next) if self.cursor.repositories.as_ref() != Some(&next) => {
                    self.cursor.repositories = Some(next);
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Imports the repository at hand, from where the cursor stands.
    async fn one_more_repository(&mut self) -> Result<(), Halt> {
        if self.over() {
            return Err(Halt::Time);
        }
        let from = self.cursor.repository.clone().unwrap_or_default();
        self.visited = Visited::default();
        match self.repository(from.clone()).await {
            Ok(()) => {}
            Err(Halt::Refused(why)) => self.problem(shown_as(&from, None), why),
            Err(halt) => return Err(halt),
        }
        self.sums.repositories += 1;
        self.moved = true;
        self.cursor.open = false;
        self.cursor.images = None;
        self.end_image(None);
        Ok(())
    }

    async fn repository(&mut self, from: String) -> Result<(), Halt> {
        let into = self.names.target(&from)?;
        let shown = self.service.acting_for(&into, self.order).await?;
        if let Some(shown) = &shown {
            self.service.may_push(shown, &into).await.map_err(pushing)?;
        }
        let at = Repository { from, into, shown };
        loop {
            let page = self.source.images(&at.from, self.cursor.images.as_deref()).await?;
            let last = self.cursor.image.as_ref();
            let done = last.and_then(|last| page.items.iter().position(|image| image.key == *last));
            for image in page.items.into_iter().skip(done.map_or(0, |at| at + 1)) {
                if self.over() {
                    return Err(Halt::Time);
                }
                let (key, tag) = (image.key.clone(), image.tag.clone());
                match self.image(&at, image).await {
                    Ok(()) => {}
                    Err(Halt::Refused(why)) => {
                        let name = tag
                            .map_or_else(|| key.trim_start_matches("r:").to_owned(), |tag| tag.to_string());
                        self.problem(shown_as(&at.from, Some(&name)), why);
                    }
                    Err(halt) => return Err(halt),
                }
                self.end_image(Some(key));
            }
            match page.next {
                Some(next) if self.cursor.images.as_ref() != Some(&next) => {
                    self.cursor.images = Some(next);
                    self.end_image(None);
                }
                Some(_) | None => break,
            }
        }
        if let (Some(visibility), Some(shown), false) = (self.visibility, &at.shown, self.order.dry_run) {
            self.service.publish(shown, &at.into, visibility).await?;
        }
        Ok(())
    }

    fn end_image(&mut self, key: Option<String>) {
        self.moved |= key.is_some();
        self.cursor.image = key;
        self.cursor.root = None;
        self.cursor.path.clear();
        self.cursor.uploads.clear();
    }

    /// Imports a manifest with all that it needs, and then moves its tag.
    async fn image(&mut self, at: &Repository, image: Image) -> Result<(), Halt> {
        let reference = image.manifest?;
        self.counting = image.tag.is_none() || matches!(reference, Reference::Tag(_));
        let name = match &image.tag {
            Some(tag) => tag.to_string(),
            None => reference.to_string(),
        };
        if let Reference::Digest(digest) = &reference
            && image.tag.is_some()
            && self.cursor.failed.contains(&digest.to_string())
        {
            return Err(Halt::Refused(format!(
                "its manifest `{digest}` was refused, so the tag is left out"
            )));
        }
        let found = match self.root(at, &reference).await {
            Err(Halt::Refused(why)) => {
                if let Some(root) = self.cursor.root.take() {
                    self.fail(root);
                }
                if let Some(shown) = &at.shown {
                    for (_, session) in std::mem::take(&mut self.cursor.uploads) {
                        self.service.give_up(shown, &at.into, &session).await?;
                    }
                }
                return Err(Halt::Refused(why));
            }
            found => found?,
        };
        let Some(found) = found else {
            if self.source.is_one_image() {
                return Err(Halt::Refused(format!("`{reference}` is not in the source")));
            }
            let why = format!("`{reference}` is not in the source any more, so it is left out");
            self.note(shown_as(&at.from, Some(&name)), why);
            return Ok(());
        };
        match &image.tag {
            Some(tag) => self.tag(at, tag, found).await,
            None => Ok(()),
        }
    }
}

/// What is wrong with a list of repositories is wrong with all of them.
fn all(error: SourceError) -> Halt {
    match Halt::from(error) {
        Halt::Refused(why) => Halt::Ended(why),
        halt => halt,
    }
}

pub(super) fn pushing(error: PushError) -> Halt {
    match error {
        PushError::Fault(fault) => Halt::fault(&fault),
        PushError::Denied(denied) => super::copy::refused(&denied),
        error => Halt::Refused(error.to_string()),
    }
}

/// An image as the source names it.
pub(super) fn shown_as(repository: &str, image: Option<&str>) -> String {
    let join = |image: &str| if image.contains([':', '/']) { '@' } else { ':' };
    match (repository, image) {
        ("", Some(image)) => cut(image),
        (repository, Some(image)) => format!("{}{}{}", cut(repository), join(image), cut(image)),
        ("", None) => "the layout".to_owned(),
        (repository, None) => cut(repository),
    }
}

/// Set of digests, for one step.
pub(super) type Digests = HashSet<packhouse_oci::Digest>;
