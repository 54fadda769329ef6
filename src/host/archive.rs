//! Image archives as `docker save` writes them, plain or compressed with gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use futures_util::stream::{self, Stream};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::scanner::values::image::ImageRef;

/// The bytes of one piece of the stream to the engine.
const PIECE: usize = 256 << 10;
/// The most bytes of a manifest, which has a few hundred for each image.
const LARGEST_MANIFEST: u64 = 16 << 20;
/// How gzip begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What an archive contains.
struct Content {
    images: Vec<Image>,
    /// Of `index.json`: the ids of its images to an engine that keeps them in containerd.
    manifests: Vec<String>,
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    /// The name of a file that begins with the image's id, or ends with it.
    config: String,
    repo_tags: Option<Vec<String>>,
}

/// The archive at `path` as a stream of its bytes.
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

/// Fails unless the archive at `path` contains `image`.
pub fn check(path: &Path, image: &ImageRef) -> Result<()> {
    let content = content(path).map_err(|error| unreadable(path, &error))?;
    if content.has(image) {
        return Ok(());
    }
    let mut names: Vec<_> = content.images.iter().flat_map(Image::names).collect();
    names.sort_unstable(); // docker save writes them in any order
    let names = if names.is_empty() { "no image".to_owned() } else { names.join(", ") };
    Err(Error::new(
        Kind::ImageNotFound,
        format!(
            "image_archive `{}` does not contain the image, it contains {names}; save the image by its name into it: `{image}`",
            path.display()
        ),
    ))
}

fn content(path: &Path) -> io::Result<Content> {
    let mut file = BufReader::new(File::open(path)?);
    let mut magic = [0; 2];
    let gzip = file.read_exact(&mut magic).is_ok() && magic == GZIP;
    io::Seek::rewind(&mut file)?;
    if gzip { read(&mut MultiGzDecoder::new(file)) } else { read(&mut file) }
}

/// Reads through to `manifest.json`, which may be the last entry; `index.json` comes before it, where there is one.
fn read(archive: &mut dyn Read) -> io::Result<Content> {
    let mut manifests = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let json = entry.take(LARGEST_MANIFEST);
        if path == Path::new("index.json") {
            let index: Value = serde_json::from_reader(json)?;
            let listed = index.get("manifests").and_then(Value::as_array).into_iter().flatten();
            manifests.extend(listed.filter_map(|it| Some(it.get("digest")?.as_str()?.to_owned())));
        } else if path == Path::new("manifest.json") {
            return Ok(Content { images: serde_json::from_reader(json)?, manifests });
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "it has no manifest.json, as docker save writes it"))
}

impl Content {
    fn has(&self, wanted: &ImageRef) -> bool {
        if wanted.is_id() {
            let digits = wanted.as_str().trim_start_matches("sha256:");
            let manifests = self.manifests.iter().map(|digest| digest.trim_start_matches("sha256:"));
            return self.images.iter().map(Image::id).chain(manifests).any(|id| id.starts_with(digits));
        }
        let (wanted, mut tags) =
            (wanted.familiar(), self.images.iter().filter_map(|it| it.repo_tags.as_ref()).flatten());
        tags.any(|tag| ImageRef::parse(tag).is_ok_and(|tag| tag.familiar() == wanted))
    }
}

impl Image {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// An archive as Docker 29 writes it when it keeps images in containerd.
    fn archive() -> tempfile::NamedTempFile {
        let mut builder = tar::Builder::new(tempfile::NamedTempFile::new().unwrap());
        let index = json!({"manifests": [{"digest": format!("sha256:{}", "a1".repeat(32)), "size": 1}]});
        let manifest = json!([{"Config": format!("blobs/sha256/{}", "b2".repeat(32)), "RepoTags": ["qualys/qcsa:1"]}]);
        for (name, content) in [("blobs/sha256/1", json!("layer")), ("index.json", index), ("manifest.json", manifest)]
        {
            let content = content.to_string();
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[rstest]
    #[case::tag("qualys/qcsa:1", true)]
    #[case::familiar("docker.io/qualys/qcsa:1", true)]
    #[case::config("b2b2b2b2b2b2", true)]
    #[case::manifest("sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", true)]
    #[case::short_manifest("a1a1a1a1a1a1", true)]
    #[case::other_tag("qualys/qcsa:2", false)]
    #[case::other_id("c3c3c3c3c3c3", false)]
    fn an_image_goes_by_its_tag_its_config_or_its_manifest(#[case] image: &str, #[case] held: bool) {
        let checked = check(archive().path(), &ImageRef::parse(image).unwrap());
        assert_eq!(checked.is_ok(), held, "{checked:?}");
    }
}
