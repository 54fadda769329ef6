//! Image archives as `docker save` writes them, plain or compressed with gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use futures_util::stream::{self, Stream};
use hyper::body::Bytes;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::scanner::image::ImageRef;

/// Of the archive, in one piece of the stream to the engine.
const PIECE: usize = 256 << 10;
/// A manifest is a few hundred bytes for each image; more is none.
const LARGEST_MANIFEST: u64 = 16 << 20;
/// How gzip begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    /// The name of a file that begins with the image's id, or ends with it.
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// The archive at `path` as a stream of its bytes.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(stream::unfold(Some(file), |file| async {
        let mut file = file?;
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(Bytes::from(piece)), Some(file)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// Makes sure that the archive at `path` has `image`.
///
/// # Errors
/// When it does not, with what it has, or when it is no such archive.
pub fn check(path: &Path, image: &ImageRef) -> Result<()> {
    let images = images(path).map_err(|error| unreadable(path, &error))?;
    if images.iter().any(|it| it.is(image)) {
        return Ok(());
    }
    let mut held: Vec<_> = images.iter().flat_map(Image::names).collect();
    held.sort_unstable(); // docker save writes them in any order
    let held = if held.is_empty() { "no image".to_owned() } else { held.join(", ") };
    Err(Error::new(
        Kind::ImageNotFound,
        format!(
            "image_archive `{}` does not hold the image, it holds {held}; save the image by its name into it: `{image}`",
            path.display()
        ),
    ))
}

fn images(path: &Path) -> io::Result<Vec<Image>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut magic = [0; 2];
    let gzip = file.read_exact(&mut magic).is_ok() && magic == GZIP;
    io::Seek::rewind(&mut file)?;
    if gzip { manifest(MultiGzDecoder::new(file)) } else { manifest(file) }
}

/// Reads through to `manifest.json`, which may be the last entry.
fn manifest(archive: impl Read) -> io::Result<Vec<Image>> {
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        if entry.path()?.as_ref() == Path::new("manifest.json") {
            return serde_json::from_reader(entry.take(LARGEST_MANIFEST)).map_err(io::Error::from);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it has no manifest.json, as docker save writes it"))
}

impl Image {
    fn is(&self, wanted: &ImageRef) -> bool {
        if wanted.is_id() {
            let digits = wanted.as_str().trim_start_matches("sha256:");
            return self.id().starts_with(digits);
        }
        let wanted = wanted.familiar();
        self.repo_tags.iter().flatten().any(|tag| ImageRef::parse(tag).is_ok_and(|tag| tag.familiar() == wanted))
    }

    fn id(&self) -> &str {
        self.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json")
    }

    fn names(&self) -> Vec<String> {
        match &self.repo_tags {
            Some(tags) if !tags.is_empty() => tags.clone(),
            _ => vec![self.id().chars().take(12).collect()],
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let (kind, cure) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Kind::PermissionDenied, "run the task with become: true"),
        io::ErrorKind::NotFound => (Kind::ImageNotFound, "copy it to the Docker host first"),
        _ => (Kind::ImageNotFound, "give a tar of docker save, plain or gzip"),
    };
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or(&reason);
    Error::new(kind, format!("image_archive cannot be read: {reason}; {cure}: `{}`", path.display()))
}
