//! Image archives as `docker save` writes them. One that is plain or compressed with gzip is looked into; into the others, which
//! the engine itself may or may not take, this program cannot look.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use futures_util::stream::{self, Stream};
use hyper::body::Bytes;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::file;
use crate::scanner::values::compression::{Compression, LONGEST_MAGIC};
use crate::scanner::values::image::{ImageRef, Store};

/// The bytes of one piece of the stream to the engine.
const PIECE: usize = 256 << 10;
/// The most bytes of a manifest, which has a few hundred for each image. What is made of it takes up to twenty times as much.
const LARGEST_MANIFEST: u64 = 2 << 20;
/// The most images that a message names.
const NAMED: usize = 5;
/// What an archive must be; never what a parser says of one, since that quotes the file.
const NO_ARCHIVE: &str = "it is not an archive as docker save writes it";

/// What an archive contains.
#[derive(Default)]
struct Content {
    images: Vec<Image>,
    /// Of `index.json`: the ids of its images to an engine that keeps them in containerd.
    manifests: Vec<String>,
}

/// `index.json`.
#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Manifest>>,
}

#[derive(Deserialize)]
struct Manifest {
    digest: Option<String>,
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
    let file = file::open(path).map_err(|error| unreadable(path, &error))?;
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

/// The compression of the archive at `path`. Fails unless the archive contains `image`, as an engine with this `store` names it,
/// where it can be looked into.
pub fn check(path: &Path, image: &ImageRef, store: Store) -> Result<Compression> {
    let (compression, content) = look_into(path, image, store).map_err(|error| unreadable(path, &error))?;
    let Some(content) = content.filter(|content| !content.has(image, store)) else { return Ok(compression) };
    if content.has(image, store.other()) {
        // Of several images nobody can tell which it is.
        let mut ids = content.ids(store).filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let id = ids.next().filter(|_| content.images.len() == 1 && ids.next().is_none());
        let (told, cure) = match id {
            Some(id) => (format!(", sha256:{id}"), "give that one, or name:tag"),
            None => (String::new(), "give name:tag"),
        };
        let message = format!(
            "image_archive `{}` contains the image, but in this engine's store it has another id{told}; {cure}: `{image}`",
            path.display()
        );
        return Err(Error::new(Kind::ImageNotFound, message));
    }
    let mut names: Vec<_> = content.images.iter().flat_map(Image::names).collect();
    names.sort_unstable(); // docker save writes them in any order
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let names = match (names.len(), more) {
        (0, _) => "no image".to_owned(),
        (_, 0) => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    };
    Err(Error::new(
        Kind::ImageNotFound,
        format!(
            "image_archive `{}` does not contain the image, it contains {names}; save the image by its name into it: `{image}`",
            path.display()
        ),
    ))
}

/// The compression of the archive at `path`.
pub fn compression(path: &Path) -> Result<Compression> {
    file::open(path)
        .and_then(|file| compression_of(&mut BufReader::new(file)))
        .map_err(|error| unreadable(path, &error))
}

fn compression_of(file: &mut BufReader<File>) -> io::Result<Compression> {
    let mut beginning = Vec::new();
    file.by_ref().take(LONGEST_MAGIC).read_to_end(&mut beginning)?;
    io::Seek::rewind(file)?;
    Ok(Compression::of(&beginning))
}

/// `None`: the archive cannot be looked into.
fn look_into(path: &Path, image: &ImageRef, store: Store) -> io::Result<(Compression, Option<Content>)> {
    let mut file = BufReader::new(file::open(path)?);
    let compression = compression_of(&mut file)?;
    let content = match compression {
        Compression::None => Some(read(&mut file, image, store)?),
        Compression::Gzip => Some(read(&mut MultiGzDecoder::new(file), image, store)?),
        Compression::Bzip2 | Compression::Xz | Compression::Zstd => None,
    };
    Ok((compression, content))
}

/// Reads until `image` is found. `manifest.json` and `index.json`, where there is one, may come in any order and last, and are
/// called `./manifest.json` and so on where somebody has packed the archive again.
fn read(archive: &mut dyn Read, image: &ImageRef, store: Store) -> io::Result<Content> {
    let (mut content, mut is_listed) = (Content::default(), false);
    // An entry that only gives the next one its long name may be of any length, and is read whole unless entries are raw.
    for entry in tar::Archive::new(archive).entries()?.raw(true) {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path);
        let json = entry.take(LARGEST_MANIFEST);
        if path == Path::new("index.json") {
            let index: Index = serde_json::from_reader(json)?;
            content.manifests = index.manifests.into_iter().flatten().filter_map(|it| it.digest).collect();
        } else if path == Path::new("manifest.json") {
            content.images = serde_json::from_reader(json)?;
            is_listed = true;
        }
        if is_listed && content.has(image, store) {
            break;
        }
    }
    if is_listed { Ok(content) } else { Err(io::Error::new(io::ErrorKind::InvalidData, NO_ARCHIVE)) }
}

impl Content {
    fn has(&self, wanted: &ImageRef, store: Store) -> bool {
        if wanted.is_id() {
            let digits = wanted.as_str().trim_start_matches("sha256:");
            return self.ids(store).any(|id| id.starts_with(digits));
        }
        let (wanted, mut tags) =
            (wanted.familiar(), self.images.iter().filter_map(|it| it.repo_tags.as_ref()).flatten());
        tags.any(|tag| ImageRef::parse(tag).is_ok_and(|tag| tag.familiar() == wanted))
    }
}

impl Content {
    /// The ids of the images to an engine with this `store`, as far as the archive tells: an old one has no `index.json`.
    fn ids(&self, store: Store) -> impl Iterator<Item = &str> {
        let configs = self.images.iter().filter(move |_| store == Store::Graph).map(Image::id);
        let manifests = self.manifests.iter().filter(move |_| store == Store::Containerd);
        configs.chain(manifests.map(|digest| digest.trim_start_matches("sha256:")))
    }
}

impl Image {
    fn id(&self) -> &str {
        self.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json")
    }

    /// What is a name at least in form: nothing else of the file may be shown.
    fn names(&self) -> Vec<String> {
        let tags = self.repo_tags.iter().flatten().filter(|tag| ImageRef::parse(tag).is_ok());
        let tags: Vec<_> = tags.cloned().collect();
        let short_id: String = self.id().chars().take(12).collect();
        if tags.is_empty() && ImageRef::parse(&short_id).is_ok_and(|id| id.is_id()) { vec![short_id] } else { tags }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let (kind, cure) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Kind::PermissionDenied, "run the task with become: true"),
        io::ErrorKind::NotFound => (Kind::ImageNotFound, "copy it to the Docker host first"),
        _ => (Kind::ImageNotFound, "give a tar of docker save, plain or gzip"),
    };
    let own = error.raw_os_error().is_some() || error.to_string() == file::IRREGULAR;
    let reason = if own { file::reason(error) } else { NO_ARCHIVE.to_owned() };
    Error::new(kind, format!("image_archive cannot be read: {reason}; {cure}: `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// The entries of an archive as Docker 29 writes it when it keeps images in containerd.
    fn entries() -> Vec<(&'static str, String)> {
        let index = json!({"manifests": [{"digest": format!("sha256:{}", "a1".repeat(32)), "size": 1}]});
        let manifest = json!([{"Config": format!("blobs/sha256/{}", "b2".repeat(32)), "RepoTags": ["qualys/qcsa:1"]}]);
        vec![
            ("blobs/sha256/1", json!("layer").to_string()),
            ("index.json", index.to_string()),
            ("manifest.json", manifest.to_string()),
        ]
    }

    fn archive(entries: &[(&str, String)], prefix: &str) -> tempfile::NamedTempFile {
        let mut builder = tar::Builder::new(tempfile::NamedTempFile::new().unwrap());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            // `append_data` would drop the `./`.
            let name = format!("{prefix}{name}");
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[rstest]
    #[case::tag("qualys/qcsa:1", true, true)]
    #[case::familiar("docker.io/qualys/qcsa:1", true, true)]
    #[case::config("b2b2b2b2b2b2", true, false)]
    #[case::manifest("sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", false, true)]
    #[case::short_manifest("a1a1a1a1a1a1", false, true)]
    #[case::other_tag("qualys/qcsa:2", false, false)]
    #[case::other_id("c3c3c3c3c3c3", false, false)]
    fn an_image_goes_by_its_tag_or_by_its_id_in_the_store(
        #[case] image: &str,
        #[case] in_graph: bool,
        #[case] in_containerd: bool,
    ) {
        let image = ImageRef::parse(image).unwrap();
        let stores = [(Store::Graph, in_graph), (Store::Containerd, in_containerd)];
        let mut turned = entries();
        turned.reverse();
        for (entries, prefix) in [(entries(), ""), (entries(), "./"), (turned, "./")] {
            for (store, held) in stores {
                let checked = check(archive(&entries, prefix).path(), &image, store);
                assert_eq!(checked.is_ok(), held, "{checked:?}");
            }
        }
    }

    #[test]
    fn the_id_in_the_other_store_is_told() {
        let archive = archive(&entries(), "");
        let told = |id: &str, store| check(archive.path(), &ImageRef::parse(id).unwrap(), store).unwrap_err().message;
        let message = told("b2b2b2b2b2b2", Store::Containerd);
        assert!(message.contains("another id, sha256:a1a1a1") && message.ends_with("`b2b2b2b2b2b2`"), "{message}");
        let message = told("a1a1a1a1a1a1", Store::Graph);
        assert!(message.contains("another id, sha256:b2b2b2") && message.ends_with("`a1a1a1a1a1a1`"), "{message}");
    }

    #[rstest]
    #[case::no_tar(b"canary canary canary".repeat(100))]
    #[case::short(b"canary".to_vec())]
    #[case::empty(Vec::new())]
    #[case::cut_gzip(b"\x1f\x8b\x08canary".to_vec())]
    #[case::manifest(packed("manifest.json", "\"canary\""))]
    #[case::manifest_of_another_kind(packed("manifest.json", "[{\"Config\": [\"canary\"]}]"))]
    #[case::index(packed("index.json", "canary"))]
    #[case::tags(packed("manifest.json", "[{\"Config\": \"CANARY canary\", \"RepoTags\": [\"canary canary\"]}]"))]
    fn nothing_of_a_file_that_is_no_archive_is_shown(#[case] content: Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let error = check(file.path(), &ImageRef::parse("qualys/qcsa:1").unwrap(), Store::Graph).unwrap_err();
        assert_eq!(error.kind, Kind::ImageNotFound);
        assert!(!error.message.to_lowercase().contains("canary"), "{error}");
    }

    #[test]
    fn not_all_of_many_names_are_shown() {
        let tags: Vec<_> = (10..99).map(|tag| format!("a:{tag}")).collect();
        let manifest = json!([{"Config": "x", "RepoTags": tags}]).to_string();
        let archive = archive(&[("manifest.json", manifest)], "");
        let message = check(archive.path(), &ImageRef::parse("b:1").unwrap(), Store::Graph).unwrap_err().message;
        assert!(message.contains("it contains a:10, a:11, a:12, a:13, a:14 and 84 more; "), "{message}");
    }

    #[test]
    fn one_that_cannot_be_looked_into_says_how_it_is_compressed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xfd7zXZ\x00 and so on").unwrap();
        assert_eq!(check(file.path(), &ImageRef::parse("a:1").unwrap(), Store::Graph), Ok(Compression::Xz));
    }

    fn packed(name: &str, content: &str) -> Vec<u8> {
        std::fs::read(archive(&[(name, content.to_owned())], "").path()).unwrap()
    }
}
