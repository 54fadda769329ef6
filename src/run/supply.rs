//! Where a wanted image comes from: it is there, or an archive or a registry has it.

use std::cell::RefCell;
use std::path::PathBuf;

use super::view::wanted;
use crate::engine::{Engine, Failure, LocalImage};
use crate::error::{Error, Kind, Result};
use crate::host::archive;
use crate::protocol::arguments::Pull;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::image::{ImageRef, WantedImage};
use crate::scanner::step::Step;

/// The images that a task names. Each is looked up, asked for, loaded or pulled once, however many scanners want it.
#[derive(Debug)]
pub struct Supply<'a> {
    engine: &'a Engine,
    check_mode: bool,
    /// By name; `None` where the engine has no such image.
    local: RefCell<Vec<(String, Option<LocalImage>)>>,
    /// What archives and registries were asked for, and whether they have it.
    asked: RefCell<Vec<(Source, WantedImage)>>,
    /// By name: loaded or pulled, or in check mode said to be.
    fetched: RefCell<Vec<String>>,
}

/// The name, the archive, and the registry's user.
type Source = (String, Option<PathBuf>, Option<String>);

impl<'a> Supply<'a> {
    /// Looks each image up that `requests` name.
    ///
    /// # Errors
    /// When the engine does not answer properly.
    pub async fn new(engine: &'a Engine, requests: &[Request], check_mode: bool) -> Result<Self> {
        let supply = Self {
            engine,
            check_mode,
            local: RefCell::default(),
            asked: RefCell::default(),
            fetched: RefCell::default(),
        };
        for desired in requests.iter().filter_map(wanted) {
            if !supply.local.borrow().iter().any(|(name, _)| name == desired.image.as_str()) {
                supply.look_up(&desired.image).await?;
            }
        }
        Ok(supply)
    }

    /// The image that `request` wants, if the engine has it.
    #[must_use]
    pub fn local(&self, request: &Request) -> Option<LocalImage> {
        let name = wanted(request)?.image.as_str();
        self.local.borrow().iter().find(|(known, _)| known == name)?.1.clone()
    }

    /// What is known of the wanted image without fetching anything; in check mode the registry is asked where it must be.
    ///
    /// # Errors
    /// When the image is not to be had.
    pub async fn known(&self, request: &Request, desired: &Desired) -> Result<WantedImage> {
        let (image, wish) = (&desired.image, &request.wish);
        let local = self.local(request);
        let source = (
            image.as_str().to_owned(),
            wish.image_archive.clone(),
            wish.credentials.as_ref().map(|user| user.username.clone()),
        );
        let asked = self.asked.borrow().iter().find(|(known, _)| *known == source).map(|(_, answer)| answer.clone());
        let there = |local: &LocalImage| WantedImage::Local { id: local.id.clone(), env: local.env() };
        let answer = match (&local, &wish.image_archive) {
            (Some(local), _) if !(pulls_always(request) && self.check_mode) => return Ok(there(local)),
            (None, None) if image.is_id() => {
                return Err(Error::new(
                    Kind::ImageNotFound,
                    format!(
                        "the engine has no image of this id, and an id cannot be pulled; load it, or give name:tag: `{image}`"
                    ),
                ));
            }
            (None, None) if wish.pull == Pull::Never => {
                return Err(Error::new(
                    Kind::ImageNotFound,
                    format!(
                        "the engine does not have the image, and pull=never; load it, or allow pull=missing: `{image}`"
                    ),
                ));
            }
            _ if asked.is_some() => return Ok(asked.unwrap_or(WantedImage::ToPull)),
            (Some(local), _) => {
                let newest = self.newest(request, desired).await?;
                let same = local.digests.iter().any(|digest| digest.ends_with(&newest));
                if same { there(local) } else { WantedImage::ToPull }
            }
            (None, Some(path)) => {
                archive::check(path, image)?;
                WantedImage::ToLoad
            }
            (None, None) => {
                if self.check_mode {
                    self.newest(request, desired).await?;
                }
                WantedImage::ToPull
            }
        };
        self.asked.borrow_mut().push((source, answer.clone()));
        Ok(answer)
    }

    /// Loads or pulls where the image is missing or the task asks for the newest; the word of what was done, if it brought
    /// another image.
    ///
    /// # Errors
    /// When the image is not to be had.
    pub async fn fetch(&self, request: &Request) -> Result<Option<&'static str>> {
        let Some(desired) = wanted(request) else { return Ok(None) };
        let before = self.local(request);
        if before.is_some() && !(pulls_always(request) && self.is_first(desired)) {
            return Ok(None);
        }
        let nowhere = desired.image.is_id() || request.wish.pull == Pull::Never;
        if before.is_none() && request.wish.image_archive.is_none() && nowhere {
            // The plan says why not.
            return Ok(None);
        }
        let action = if let (Some(path), None) = (&request.wish.image_archive, &before) {
            let stream = archive::open(path)?;
            self.engine.load(stream).await.map_err(|failure| failure.into_error(self.engine.host()))?;
            Step::LoadImage.word()
        } else {
            let pulled = self.engine.pull(&desired.image, request.wish.credentials.as_ref()).await;
            pulled.map_err(|failure| not_pulled(desired, &failure))?;
            Step::PullImage.word()
        };
        self.is_first(desired);
        self.look_up(&desired.image).await?;
        let Some(now) = self.local(request) else {
            let message = format!("the image is still not there after {action}; check its name: `{}`", desired.image);
            return Err(Error::new(Kind::ImageNotFound, message));
        };
        Ok((before.is_none_or(|before| before.id != now.id)).then_some(action))
    }

    /// The words of `steps` as they will show in `actions`: what one scanner of the task fetches is there for the others.
    pub fn predict(&self, request: &Request, steps: &[Step]) -> Vec<&'static str> {
        let is_fetch = |step: &Step| matches!(step, Step::PullImage | Step::LoadImage);
        let fetches = steps.iter().any(is_fetch) && wanted(request).is_some_and(|desired| self.is_first(desired));
        steps.iter().filter(|step| fetches || !is_fetch(step)).map(Step::word).collect()
    }

    /// Whether nobody fetched this image before; from now on somebody did.
    fn is_first(&self, desired: &Desired) -> bool {
        let mut fetched = self.fetched.borrow_mut();
        let first = !fetched.iter().any(|name| name == desired.image.as_str());
        if first {
            fetched.push(desired.image.as_str().to_owned());
        }
        first
    }

    async fn look_up(&self, image: &ImageRef) -> Result<()> {
        let found =
            self.engine.image(image.as_str()).await.map_err(|failure| failure.into_error(self.engine.host()))?;
        let mut local = self.local.borrow_mut();
        local.retain(|(name, _)| name != image.as_str());
        local.push((image.as_str().to_owned(), found));
        Ok(())
    }

    async fn newest(&self, request: &Request, desired: &Desired) -> Result<String> {
        let newest = self.engine.registry_digest(&desired.image, request.wish.credentials.as_ref()).await;
        newest.map_err(|failure| not_pulled(desired, &failure))
    }
}

/// Whether there may be something newer to pull: an id names one image for ever.
#[must_use]
pub fn pulls_always(request: &Request) -> bool {
    wanted(request).is_some_and(|desired| !desired.image.is_id()) && request.wish.pull == Pull::Always
}

/// A pull's failure: registry, image, and the likely cause.
fn not_pulled(desired: &Desired, failure: &Failure) -> Error {
    let text = failure.root().to_string().to_lowercase();
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
            "the image is not to be had from {}: {failure}; {}: `{}`",
            desired.image.registry(),
            cause.unwrap_or("check its name and the registry, or load it on the Docker host"),
            desired.image
        ),
    )
}
