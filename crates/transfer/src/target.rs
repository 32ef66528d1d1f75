//! An OCI layout that is written: a folder, or a tar when its name ends with `.tar`.
//!
//! A folder is a good layout at any time: a blob gets its name when all of its bytes are on disk, and `index.json`
//! names a manifest after everything below it is there. So it can be added to, and an export that was interrupted goes
//! on with what is missing. A tar gets its own name at its end; until then it is `<name>.partial`, beside a
//! `<name>.partial.json` with the index so far. It ends with a `manifest.json`, which is what `docker load` looks for
//! unless containerd keeps its images.
//!
//! All functions block.

mod files;
mod growing;
#[cfg(test)]
mod tests;

pub use growing::Growing;

use crate::TargetError;
use crate::layout::REF_NAME;
use files::{beside, header_of, names_before, read_index, replace, sync_folder_of};
use growing::Place;
use packhouse_oci::{Digest, Tag};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MARK: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Bytes of a tar's block.
const BLOCK: u64 = 512;

/// A layout that is written.
#[derive(Debug)]
pub struct Target {
    /// Its own name.
    path: PathBuf,
    shape: Shape,
    /// What `index.json` names.
    index: Vec<Value>,
    /// What `manifest.json` of a tar names.
    docker: Vec<Value>,
}

#[derive(Debug)]
enum Shape {
    Folder,
    Tar {
        file: File,
        /// Where the next entry begins.
        end: u64,
        names: HashSet<String>,
    },
}

impl Target {
    /// Opens a layout to write. `end`: none at first, then what [`Target::end`] said.
    ///
    /// # Errors
    /// Something else is there, or the system does not let us.
    pub fn open(path: &Path, end: Option<u64>) -> Result<Self, TargetError> {
        if path.extension().is_some_and(|extension| extension == "tar") {
            return Self::open_tar(path, end);
        }
        let write = TargetError::write(path);
        match fs::create_dir(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(write(error)),
        }
        let mark = path.join("oci-layout");
        if !mark.is_file() {
            let mut names = fs::read_dir(path).map_err(TargetError::write(path))?;
            if names.next().is_some() {
                let hint = ", and is not an OCI layout; name a new folder";
                return Err(TargetError::There { path: path.to_owned(), hint });
            }
        }
        for folder in ["blobs", "blobs/sha256", "blobs/sha384", "blobs/sha512"] {
            let folder = path.join(folder);
            // Those of rare algorithms are made when they are needed.
            let needed = !folder.ends_with("sha384") && !folder.ends_with("sha512");
            if needed && !folder.is_dir() {
                fs::create_dir(&folder).map_err(TargetError::write(folder))?;
            }
        }
        if !mark.is_file() {
            replace(&mark, MARK)?;
        }
        let (index, _) = read_index(&path.join("index.json"))?;
        Ok(Self { path: path.to_owned(), shape: Shape::Folder, index, docker: Vec::new() })
    }

    fn open_tar(path: &Path, end: Option<u64>) -> Result<Self, TargetError> {
        if path.exists() {
            let hint = "; remove it first, or choose another name";
            return Err(TargetError::There { path: path.to_owned(), hint });
        }
        let partial = beside(path, ".partial");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(end.is_none());
        let file = options.open(&partial).map_err(TargetError::write(&partial))?;
        let (index, docker) = match end {
            None => Default::default(),
            Some(_) => read_index(&beside(path, ".partial.json"))?,
        };
        let mut target = Self {
            path: path.to_owned(),
            shape: Shape::Tar { file, end: end.unwrap_or(0), names: HashSet::new() },
            index,
            docker,
        };
        if end.is_none() {
            target.write_index()?;
            target.append("oci-layout", MARK)?;
            return Ok(target);
        }
        let Shape::Tar { file, end, names } = &mut target.shape else { return Ok(target) };
        let read = || TargetError::write(&partial);
        let length = file.metadata().map_err(read())?.len();
        if length < *end {
            let cause = std::io::Error::other("it is shorter than it was; begin the export anew");
            return Err(TargetError::Write { path: partial, cause });
        }
        *names = names_before(file, *end).map_err(read())?;
        Ok(target)
    }

    /// What a tar is to be opened with the next time: where its whole entries end. A folder says it too, for nothing.
    #[must_use]
    pub fn end(&self) -> u64 {
        match &self.shape {
            Shape::Folder => 0,
            Shape::Tar { end, .. } => *end,
        }
    }

    /// Whether a blob of that size is there.
    #[must_use]
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        match &self.shape {
            Shape::Folder => {
                let found = fs::symlink_metadata(self.path.join(name_of(digest)));
                found.is_ok_and(|found| found.is_file() && found.len() == size)
            }
            Shape::Tar { names, .. } => names.contains(&name_of(digest)),
        }
    }

    /// Writes a small blob as a whole: a manifest.
    ///
    /// # Errors
    /// It is not what its digest says, or the system does not let us.
    pub fn put(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), TargetError> {
        if self.has(digest, bytes.len() as u64) {
            return Ok(());
        }
        let growing = self.begin(digest, bytes.len() as u64)?;
        let growing = growing.write(bytes)?;
        self.finish(growing)
    }

    /// Begins a blob, which is then written piece by piece.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn begin(&mut self, digest: &Digest, size: u64) -> Result<Growing, TargetError> {
        self.resume(digest, size, None)
    }

    /// Goes on with a blob behind what [`Growing::pause`] said, or begins it anew when that is not there any more.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn resume(
        &mut self,
        digest: &Digest,
        size: u64,
        paused: Option<(u64, Vec<u8>)>,
    ) -> Result<Growing, TargetError> {
        match &mut self.shape {
            Shape::Folder => {
                let name = self.path.join(name_of(digest));
                if let Some(folder) = name.parent().filter(|folder| !folder.is_dir()) {
                    fs::create_dir(folder).map_err(TargetError::write(folder))?;
                }
                let partial = self.path.join(format!(".partial-{}", digest.hex()));
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(paused.is_none());
                let file = options.open(&partial).map_err(TargetError::write(&partial))?;
                Growing::open(Place { file, path: partial, first: 0, rename: Some(name) }, *digest, paused)
            }
            Shape::Tar { file, end, .. } => {
                let partial = beside(&self.path, ".partial");
                let write = || TargetError::write(&partial);
                let header = header_of(&name_of(digest), size).map_err(write())?;
                let mut file = file.try_clone().map_err(write())?;
                if paused.is_none() {
                    file.set_len(*end).map_err(write())?;
                    file.seek(SeekFrom::Start(*end)).map_err(write())?;
                    file.write_all(header.as_bytes()).map_err(write())?;
                }
                Growing::open(
                    Place { file, path: partial.clone(), first: *end + BLOCK, rename: None },
                    *digest,
                    paused,
                )
            }
        }
    }

    /// Ends a blob: compares its digest, brings its bytes to disk, gives it its name.
    ///
    /// # Errors
    /// The bytes are not what the digest says: none of them stays. The system does not let us.
    pub fn finish(&mut self, growing: Growing) -> Result<(), TargetError> {
        let (digest, written) = growing.finish()?;
        if let Shape::Tar { file, end, names } = &mut self.shape {
            let partial = beside(&self.path, ".partial");
            let next = *end + BLOCK + written.next_multiple_of(BLOCK);
            file.set_len(next).map_err(TargetError::write(partial))?;
            *end = next;
            names.insert(name_of(&digest));
        }
        Ok(())
    }

    /// Names a manifest in the index, once: with a tag, which the entry before it loses, or without.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn name(
        &mut self,
        digest: &Digest,
        size: u64,
        media_type: &str,
        tag: Option<&Tag>,
    ) -> Result<(), TargetError> {
        let digest = digest.to_string();
        let tag = tag.map(Tag::as_str);
        let named = |entry: &Value| entry["annotations"][REF_NAME].as_str().map(str::to_owned);
        let same = |entry: &Value| entry["digest"].as_str() == Some(&digest);
        if tag.is_none() && self.index.iter().any(same) {
            return Ok(());
        }
        if self.index.iter().any(|entry| same(entry) && named(entry).as_deref() == tag) {
            return Ok(());
        }
        self.index.retain(|entry| match named(entry) {
            Some(other) => Some(other.as_str()) != tag,
            None => !same(entry),
        });
        let mut entry = json!({ "mediaType": media_type, "digest": digest, "size": size });
        if let Some(tag) = tag {
            entry["annotations"] = json!({ REF_NAME: tag });
        }
        self.index.push(entry);
        self.write_index()
    }

    /// Gives a tar an image that `docker load` takes, under a name. Not one whose blobs are not all written.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn docker(&mut self, name: &str, config: &Digest, layers: &[Digest]) -> Result<(), TargetError> {
        let Shape::Tar { names, .. } = &self.shape else { return Ok(()) };
        if !layers.iter().chain([config]).all(|digest| names.contains(&name_of(digest))) {
            return Ok(());
        }
        let layers: Vec<String> = layers.iter().map(name_of).collect();
        let entry = json!({ "Config": name_of(config), "RepoTags": [name], "Layers": layers });
        if !self.docker.contains(&entry) {
            self.docker.push(entry);
            self.write_index()?;
        }
        Ok(())
    }

    /// Ends the layout: a tar gets its index and its name.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn close(mut self) -> Result<(), TargetError> {
        self.write_index()?;
        let index = self.index_bytes();
        if matches!(self.shape, Shape::Tar { .. }) {
            self.append("index.json", &index)?;
            if !self.docker.is_empty() {
                self.append("manifest.json", json!(self.docker).to_string().as_bytes())?;
            }
        }
        let Shape::Tar { file, end, .. } = &mut self.shape else { return Ok(()) };
        let partial = beside(&self.path, ".partial");
        let write = || TargetError::write(&partial);
        // Two empty blocks end a tar.
        file.set_len(*end + 2 * BLOCK).map_err(write())?;
        file.sync_all().map_err(write())?;
        fs::rename(&partial, &self.path).map_err(write())?;
        sync_folder_of(&self.path)?;
        let side = beside(&self.path, ".partial.json");
        fs::remove_file(&side).map_err(TargetError::write(side))
    }

    fn write_index(&self) -> Result<(), TargetError> {
        match self.shape {
            Shape::Folder => replace(&self.path.join("index.json"), &self.index_bytes()),
            Shape::Tar { .. } => {
                let both = json!({ "manifests": self.index, "docker": self.docker });
                replace(&beside(&self.path, ".partial.json"), both.to_string().as_bytes())
            }
        }
    }

    fn index_bytes(&self) -> Vec<u8> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.index });
        index.to_string().into_bytes()
    }

    /// A whole entry of a tar.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), TargetError> {
        let partial = beside(&self.path, ".partial");
        let Shape::Tar { file, end, .. } = &mut self.shape else { return Ok(()) };
        let mut write = || {
            let header = header_of(name, bytes.len() as u64)?;
            file.set_len(*end)?;
            file.seek(SeekFrom::Start(*end))?;
            file.write_all(header.as_bytes())?;
            file.write_all(bytes)?;
            *end += BLOCK + (bytes.len() as u64).next_multiple_of(BLOCK);
            file.set_len(*end)
        };
        write().map_err(TargetError::write(partial))
    }
}

/// `blobs/<algorithm>/<hex>`.
fn name_of(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
