//! Where a wanted image comes from: it is there, or an archive or a registry has it.

use super::view::{View, wanted};
use crate::engine::{Engine, Failure, LocalImage};
use crate::error::{Error, Kind, Result};
use crate::host::archive;
use crate::protocol::arguments::Pull;
use crate::scanner::desired::{Desired, Request};
use crate::scanner::image::WantedImage;

/// What is known of the wanted image without fetching anything; `predict`: as far as a registry must be asked for that.
///
/// # Errors
/// When the image is not to be had.
pub async fn known(
    engine: &Engine,
    request: &Request,
    desired: &Desired,
    local: Option<&LocalImage>,
    predict: bool,
) -> Result<WantedImage> {
    let (image, wish) = (&desired.image, &request.wish);
    let there = |local: &LocalImage| WantedImage::Local { id: local.id.clone(), env: local.env() };
    let newest = async || {
        engine.registry_digest(image, wish.credentials.as_ref()).await.map_err(|failure| not_pulled(desired, &failure))
    };
    match local {
        Some(local) if pulls_always(request) && predict => {
            let newest = newest().await?;
            let same = local.digests.iter().any(|digest| digest.ends_with(&newest));
            Ok(if same { there(local) } else { WantedImage::ToPull })
        }
        Some(local) => Ok(there(local)),
        None if wish.image_archive.is_some() => {
            if let Some(path) = &wish.image_archive {
                archive::check(path, image)?;
            }
            Ok(WantedImage::ToLoad)
        }
        None if image.is_id() => Err(Error::new(
            Kind::ImageNotFound,
            format!(
                "the engine has no image of this id, and an id cannot be pulled; load it, or give name:tag: `{image}`"
            ),
        )),
        None if wish.pull == Pull::Never => Err(Error::new(
            Kind::ImageNotFound,
            format!("the engine does not have the image, and pull=never; load it, or allow pull=missing: `{image}`"),
        )),
        None if predict => newest().await.map(|_| WantedImage::ToPull),
        None => Ok(WantedImage::ToPull),
    }
}

/// An id names one image for ever; there is nothing newer to pull.
#[must_use]
pub fn pulls_always(request: &Request) -> bool {
    wanted(request).is_some_and(|desired| !desired.image.is_id()) && request.wish.pull == Pull::Always
}

/// Loads or pulls where the image is missing or the task asks for the newest; the word of what was done, if it brought
/// another image.
///
/// # Errors
/// When the image is not to be had.
pub async fn fetch(engine: &Engine, request: &Request, view: &View) -> Result<Option<&'static str>> {
    let Some(desired) = wanted(request) else { return Ok(None) };
    let action = match (&request.wish.image_archive, &view.image) {
        (Some(path), None) => {
            let stream = archive::open(path)?;
            engine.load(stream).await.map_err(|failure| failure.into_error(engine.host()))?;
            "load_image"
        }
        (_, Some(_)) if !pulls_always(request) => return Ok(None),
        _ => {
            let pulled = engine.pull(&desired.image, request.wish.credentials.as_ref()).await;
            pulled.map_err(|failure| not_pulled(desired, &failure))?;
            "pull_image"
        }
    };
    let now = engine.image(desired.image.as_str()).await.map_err(|failure| failure.into_error(engine.host()))?;
    let Some(now) = now else {
        let message = format!("the image is still not there after {action}; check its name: `{}`", desired.image);
        return Err(Error::new(Kind::ImageNotFound, message));
    };
    Ok((Some(&now.id) != view.image.as_ref().map(|image| &image.id)).then_some(action))
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
