//! The source of the desired image: the engine has it, or an archive or a registry does.

use std::cell::RefCell;
use std::path::Path;

use anyhow::{Result, anyhow};

use crate::engine::{Engine, Failure, LocalImage};
use crate::error::{Error, Kind};
use crate::host::archive;
use crate::scanner::desired::Request;
use crate::scanner::observed::Observed;
use crate::scanner::operation::Operation;
use crate::scanner::plan::Plan;
use crate::scanner::policy::Pull;
use crate::scanner::values::compression::Compression;
use crate::scanner::values::image::{ImageRef, WantedImage};

/// The images that a task names. Each is looked up, loaded or pulled once, however many scanners use it.
#[derive(Debug)]
pub struct Images<'a, E> {
    engine: &'a E,
    /// By name; `None` where the engine has no such image.
    local: RefCell<Vec<(String, Option<LocalImage>)>>,
    /// By name, the images that one of the scanners fetches, and how.
    to_fetch: RefCell<Vec<(String, WantedImage)>>,
    /// The names of images that were fetched, or are the newest according to their registry.
    settled: RefCell<Vec<String>>,
}

impl<'a, E: Engine> Images<'a, E> {
    /// Looks up each image that `requests` name.
    pub async fn new(engine: &'a E, requests: &[Request]) -> Result<Self> {
        let images =
            Self { engine, local: RefCell::default(), to_fetch: RefCell::default(), settled: RefCell::default() };
        for image in requests.iter().filter_map(Request::image) {
            if !images.local.borrow().iter().any(|(name, _)| name == image.as_str()) {
                images.look_up(image).await?;
            }
        }
        Ok(images)
    }

    /// The image that `request` desires, if the engine has it.
    pub fn local(&self, request: &Request) -> Option<LocalImage> {
        let name = request.image()?.as_str();
        self.local.borrow().iter().find(|(known, _)| known == name)?.1.clone()
    }

    /// What is known of the `image` that `request` names without fetching anything. A registry is asked only for the newest digest, and in
    /// check mode (`is_prediction`) for whether it has the image at all.
    pub async fn known(&self, request: &Request, image: &ImageRef, is_prediction: bool) -> Result<WantedImage> {
        let policy = &request.policy;
        let local = self.local(request);
        let there = |local: &LocalImage| WantedImage::Local { id: local.id.clone(), brought: local.brought.clone() };
        let is_in = |list: &RefCell<Vec<String>>| list.borrow().iter().any(|name| name == image.as_str());
        if let Some(local) = &local
            && (!pulls_always(request) || is_in(&self.settled))
        {
            return Ok(there(local));
        }
        // Another scanner of the task fetches it before.
        let fetched =
            self.to_fetch.borrow().iter().find(|(name, _)| name == image.as_str()).map(|(_, how)| how.clone());
        if let Some(how) = fetched {
            return Ok(how);
        }
        let not_found = |why: &str| Err(anyhow!(Error::new(Kind::ImageNotFound, format!("{why}: `{image}`"))));
        let how = match (&local, &policy.image_archive) {
            (Some(local), _) => {
                let Some(newest) = self.newest(request, image).await? else {
                    return Err(cannot_tell_newest(image).into());
                };
                if local.digests.iter().any(|digest| digest.ends_with(&newest)) {
                    self.settled.borrow_mut().push(image.as_str().to_owned());
                    return Ok(there(local));
                }
                WantedImage::ToPull
            }
            (None, Some(path)) => {
                let compression = archive::check(path, image, self.engine.info().await?.store)?;
                if !self.engine.can_load(compression).await? {
                    return Err(cannot_load(path, compression, "this engine is too old for that").into());
                }
                WantedImage::ToLoad
            }
            (None, None) if image.is_id() => {
                return not_found(
                    "the engine has no image of this id, and an id cannot be pulled; load it, or give name:tag",
                );
            }
            (None, None) if policy.pull == Pull::Never => {
                return not_found("the engine does not have the image, and pull=never; load it, or allow pull=missing");
            }
            (None, None) => {
                if is_prediction {
                    self.newest(request, image).await?;
                }
                WantedImage::ToPull
            }
        };
        self.to_fetch.borrow_mut().push((image.as_str().to_owned(), how.clone()));
        Ok(how)
    }

    /// Loads or pulls the image that `request` desires, as `operation` says.
    pub async fn fetch(&self, request: &Request, operation: &Operation) -> Result<()> {
        let Some(image) = request.image() else { return Ok(()) };
        if let (Operation::LoadImage, Some(path)) = (operation, &request.policy.image_archive) {
            self.load(path).await?;
        } else {
            let pulled = self.engine.pull(image, request.policy.credentials.as_ref()).await;
            pulled.map_err(|failure| not_pulled(image, &failure))?;
        }
        Ok(())
    }

    async fn load(&self, path: &Path) -> Result<()> {
        let compression = archive::compression(path)?;
        let loaded = self.engine.load(archive::open(path)?).await;
        match (compression, loaded) {
            (Compression::None | Compression::Gzip, loaded) => Ok(loaded?),
            // Only the engine knows whether it can decompress this, and it says so only now.
            (compression, Err(failure)) if matches!(failure.root(), Failure::Refused { .. }) => {
                Err(cannot_load(path, compression, &failure.root().to_string()).into())
            }
            (_, loaded) => Ok(loaded?),
        }
    }

    /// Looks up the image that `operation` fetched.
    pub async fn look_up_fetched(&self, request: &Request, operation: &Operation) -> Result<()> {
        let Some(image) = request.image() else { return Ok(()) };
        self.settled.borrow_mut().push(image.as_str().to_owned());
        self.look_up(image).await?;
        if self.local(request).is_none() {
            let action = operation.word().unwrap_or_default();
            let message = format!("the engine does not have the image after {action}; check its name: `{image}`");
            return Err(Error::new(Kind::ImageNotFound, message).into());
        }
        Ok(())
    }

    /// Removes from `plan` the fetching of an image in `fetched`, which an earlier plan fetches; else adds its own to
    /// `fetched`.
    pub fn leave_out_fetched(request: &Request, plan: &mut Plan, fetched: &mut Vec<String>) {
        let Some(image) = request.image().filter(|_| plan.operations.iter().any(Operation::fetches)) else { return };
        if fetched.iter().any(|name| name == image.as_str()) {
            plan.operations.retain(|it| !it.fetches());
        } else {
            fetched.push(image.as_str().to_owned());
        }
    }

    async fn look_up(&self, image: &ImageRef) -> Result<()> {
        let found = self.engine.image(image.as_str()).await?;
        let mut local = self.local.borrow_mut();
        local.retain(|(name, _)| name != image.as_str());
        local.push((image.as_str().to_owned(), found));
        Ok(())
    }

    /// The newest digest; `None`: the engine does not ask registries for that.
    async fn newest(&self, request: &Request, image: &ImageRef) -> Result<Option<String>> {
        let newest = self.engine.registry_digest(image, request.policy.credentials.as_ref()).await;
        Ok(newest.map_err(|failure| not_pulled(image, &failure))?)
    }

    /// How a new container names the image of `old`: by its old name where that still means this image, else by its id.
    pub async fn kept(&self, old: &Observed) -> Result<ImageRef> {
        for name in [&old.image, &old.image_id] {
            let found = self.engine.image(name).await?;
            if found.is_some_and(|found| found.id == old.image_id) {
                return Ok(ImageRef::parse(name)?);
            }
        }
        let message = format!(
            "the engine no longer has the image of the scanner, and a new container needs it; load it again, or give image: `{}`",
            old.image
        );
        Err(Error::new(Kind::ImageNotFound, message).into())
    }
}

/// The engine does not ask registries which image is the newest.
fn cannot_tell_newest(image: &ImageRef) -> Error {
    let message = format!(
        "this engine cannot ask a registry for the newest image, as pull=always wants; pull it on the Docker host, or name \
         another tag or digest with pull=missing: `{image}`"
    );
    Error::new(Kind::Unsupported, message)
}

/// The engine does not take an archive of this `compression`.
fn cannot_load(path: &Path, compression: Compression, why: &str) -> Error {
    let install = if compression == Compression::Xz { "install xz-utils on the Docker host, or " } else { "" };
    let message = format!(
        "the engine cannot load the image_archive, which is compressed with {compression} ({why}); \
         {install}give it plain or compressed with gzip: `{}`",
        path.display()
    );
    Error::new(Kind::Unsupported, message)
}

/// Whether there may be a newer image to pull: an id always names the same image.
fn pulls_always(request: &Request) -> bool {
    request.image().is_some_and(|image| !image.is_id()) && request.policy.pull == Pull::Always
}

/// The error of a pull that failed: registry, image, and the likely cause.
fn not_pulled(image: &ImageRef, failure: &Failure) -> Error {
    if let Failure::Credentials(_) | Failure::SilentHelper { .. } | Failure::StoodStill(_) = failure.root() {
        return failure.clone().into();
    }
    // A pull and a look at the registry fail with the same words, but for these.
    let said = failure.root().to_string().replace(&format!("manifest for {image} not found: "), "");
    let text = said.to_lowercase();
    let likely = [
        (
            &["unauthorized", "denied", "authentication", "no basic auth"][..],
            "the registry wants other credentials: give registry_username and registry_password, or run docker login on the Docker host",
        ),
        (
            &["manifest unknown", "not found", "does not exist"][..],
            "the registry has no such image or tag: check the name",
        ),
        (
            &["no such host", "connection refused", "timeout", "unreachable", "dial tcp", "network"][..],
            "the Docker host cannot reach the registry: check its network and proxy, or give image_archive",
        ),
        (
            &["x509", "certificate", "http response to https"][..],
            "the engine does not trust the registry: check its certificate",
        ),
    ];
    let cause = likely.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, cause)| *cause);
    Error::new(
        Kind::ImageNotFound,
        format!(
            "cannot get the image from {}: {said}; {}: `{}`",
            image.registry(),
            cause.unwrap_or("check its name and the registry, or load it on the Docker host"),
            image
        ),
    )
}
