//! From bytes to a manifest as it is written, with every bound that must hold while reading.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{DESCRIPTORS_MAX, ManifestError, NESTING_MAX};
use crate::descriptor::RawDescriptor;
use crate::{Descriptor, MediaType};

/// Most characters of the JSON parser's message in ours: it repeats what it found, which can be megabytes.
const DETAIL_CHARS_MAX: usize = 200;

/// Both kinds in one, so that a body with parts of both is seen. `null` is taken as absent.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawManifest {
    schema_version: Option<serde_json::Number>,
    media_type: Option<String>,
    pub(super) artifact_type: Option<String>,
    pub(super) config: Option<Object<RawDescriptor>>,
    pub(super) layers: Option<List>,
    pub(super) manifests: Option<List>,
    pub(super) subject: Option<Object<RawDescriptor>>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    /// The layers of schema 1.
    fs_layers: Option<IgnoredAny>,
}

impl RawManifest {
    pub(super) fn is_schema1(&self) -> bool {
        let version = self.schema_version.as_ref().and_then(serde_json::Number::as_u64);
        version == Some(1)
            || self.fs_layers.is_some()
            || matches!(self.media_type(), Ok(Some(t)) if t.is_schema1())
    }

    pub(super) fn require_schema_2(&self) -> Result<(), ManifestError> {
        match self.schema_version.as_ref().and_then(serde_json::Number::as_u64) {
            Some(2) => Ok(()),
            _ => Err(ManifestError::SchemaVersion),
        }
    }

    /// `mediaType`, where an empty one is none.
    pub(super) fn media_type(&self) -> Result<Option<MediaType>, ManifestError> {
        match self.media_type.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => {
                let media_type: MediaType = text.parse()?;
                // Parameters are for headers; clients compare the field byte by byte.
                if media_type == *text {
                    Ok(Some(media_type))
                } else {
                    Err(crate::MediaTypeError::Form.into())
                }
            }
        }
    }

    pub(super) fn has_image_fields(&self) -> bool {
        self.config.is_some() || self.layers.is_some()
    }

    /// Descriptors in all places together.
    pub(super) fn descriptors(&self) -> u64 {
        let listed = |list: &Option<List>| list.as_ref().map_or(0, |list| list.count);
        let single = u64::from(self.config.is_some()) + u64::from(self.subject.is_some());
        single + listed(&self.layers) + listed(&self.manifests)
    }
}

/// Reads one JSON object and nothing else.
pub(super) fn read(bytes: &[u8]) -> Result<RawManifest, ManifestError> {
    if bytes.is_empty() {
        return Err(ManifestError::Empty);
    }
    if bytes.starts_with(b"\xef\xbb\xbf") || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
    {
        return Err(ManifestError::ByteOrderMark);
    }
    // The parser does not look at the encoding of what it skips, but what is stored is served as JSON.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ManifestError::NotUtf8 { position: error.valid_up_to() })?;
    require_shallow(bytes)?;
    let raw: Result<Object<RawManifest>, serde_json::Error> = serde_json::from_str(text);
    raw.map(|object| object.0).map_err(|error| {
        let detail = shortened(&error.to_string());
        match error.classify() {
            serde_json::error::Category::Data if !text.trim_start().starts_with('{') => {
                ManifestError::NotObject
            }
            serde_json::error::Category::Data => ManifestError::Field { detail },
            serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof
            | serde_json::error::Category::Io => ManifestError::NotJson { detail },
        }
    })
}

pub(super) fn one(
    place: &'static str,
    raw: Option<Object<RawDescriptor>>,
) -> Result<Option<Descriptor>, ManifestError> {
    let named = |source| ManifestError::Descriptor { place: place.to_owned(), source };
    raw.map(|object| object.0.check().map_err(named)).transpose()
}

pub(super) fn all(place: &'static str, raw: Option<List>) -> Result<Vec<Descriptor>, ManifestError> {
    let entries = raw.into_iter().flat_map(|list| list.entries).enumerate();
    entries
        .map(|(index, object)| {
            let named = |source| ManifestError::Descriptor { place: format!("{place}[{index}]"), source };
            object.0.check().map_err(named)
        })
        .collect()
}

/// serde_json limits the depth of what it builds, not of what it skips.
fn require_shallow(json: &[u8]) -> Result<(), ManifestError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(ManifestError::TooDeep);
                }
            }
            // Below zero it is not JSON, which the parser will say better.
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

fn shortened(detail: &str) -> String {
    match detail.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail.to_owned(),
    }
}

/// A `T` that is written as a JSON object. Alone, serde's structs may also be written as arrays of their fields,
/// which no other reader of manifests understands.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Descriptors of one list: at most one more than may be are kept, all are counted.
pub(super) struct List {
    entries: Vec<Object<RawDescriptor>>,
    count: u64,
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of descriptors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
        let mut list = List { entries: Vec::new(), count: 0 };
        while list.count < DESCRIPTORS_MAX {
            let Some(entry) = seq.next_element()? else { return Ok(list) };
            list.entries.push(entry);
            list.count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            list.count = list.count.checked_add(1).ok_or_else(|| A::Error::custom("too many descriptors"))?;
        }
        Ok(list)
    }
}
