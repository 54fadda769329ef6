//! Anonymous volumes: what a container keeps without a name that somebody gave.

use std::collections::BTreeSet;

use super::values::image::WantedImage;
use super::values::mount;

/// The digits of a name that an engine makes up.
const DIGITS: usize = 64;

/// Where the task's own mounts go.
pub const MANAGED: &[&str] = &[mount::SHARED, mount::PRIVATE, mount::CA];

/// One anonymous volume of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnonymousVolume {
    /// The name that the engine made up.
    pub name: String,
    /// The container's path in its plainest spelling.
    pub path: String,
    /// Whether the container itself asked for it, and not its image alone.
    pub is_own: bool,
    /// Whether the container may write to it.
    pub read_write: bool,
}

impl AnonymousVolume {
    /// Whether it goes along to a successor, whose image has a VOLUME at each of the `paths`.
    pub fn goes_along(&self, paths: &BTreeSet<String>) -> bool {
        !self.is_managed() && (self.is_own || paths.contains(&self.path))
    }

    fn is_managed(&self) -> bool {
        MANAGED.contains(&self.path.as_str())
    }

    /// As `docker run --volume` takes it.
    pub fn bind(&self) -> String {
        let access = if self.read_write { "" } else { ":ro" };
        format!("{}:{}{access}", self.name, self.path)
    }
}

/// Whether an engine made up this `name` of a volume.
pub fn is_made_up(name: &str) -> bool {
    name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A warning for each of `volumes` that does not go along, or may not, when the container is replaced by one of `image`.
pub fn lost(volumes: &[AnonymousVolume], image: &WantedImage) -> Vec<String> {
    let (paths, condition) = match image {
        // What its image asks for, the successor's asks for as well.
        WantedImage::Kept => return Vec::new(),
        WantedImage::Local { brought, .. } => (brought.volumes.clone(), "since the new image has no VOLUME there"),
        WantedImage::ToPull | WantedImage::ToLoad => {
            (BTreeSet::new(), "unless the new image, which is not there yet, has a VOLUME there")
        }
    };
    let stays = |it: &&AnonymousVolume| !it.goes_along(&paths) && !it.is_managed();
    let warning = |AnonymousVolume { name, path, .. }: &AnonymousVolume| {
        format!(
            "the volume at {path} is deleted with the old container, {condition}; copy what is needed of it: `{name}`"
        )
    };
    volumes.iter().filter(stays).map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::super::values::image::Brought;
    use super::*;

    fn volume(path: &str, is_own: bool) -> AnonymousVolume {
        AnonymousVolume { name: "0".repeat(DIGITS), path: path.to_owned(), is_own, read_write: true }
    }

    #[test]
    fn one_goes_along_where_the_container_or_the_new_image_asks_for_it() {
        let paths = ["/data".to_owned()].into();
        assert!(volume("/own", true).goes_along(&paths));
        assert!(volume("/data", false).goes_along(&paths));
        assert!(!volume("/old", false).goes_along(&paths));
        assert!(!volume(mount::SHARED, true).goes_along(&paths));
    }

    #[test]
    fn one_that_does_not_go_along_is_named() {
        let volumes = [volume("/data", false), volume("/own", true), volume(mount::CA, false)];
        let brought = Brought { volumes: ["/data".to_owned()].into(), ..Brought::default() };
        assert_eq!(lost(&volumes, &WantedImage::Local { id: String::new(), brought }), [""; 0]);
        for (image, word) in [
            (WantedImage::Local { id: String::new(), brought: Brought::default() }, "since"),
            (WantedImage::ToPull, "unless"),
            (WantedImage::ToLoad, "unless"),
        ] {
            let lost = lost(&volumes, &image);
            assert_eq!(lost.len(), 1);
            assert!(lost[0].contains(word) && lost[0].ends_with(&format!("`{}`", "0".repeat(DIGITS))), "{lost:?}");
        }
    }

    #[test]
    fn engines_make_up_names_that_people_do_not() {
        assert!(is_made_up(&"0a".repeat(32)));
        assert!(!is_made_up("data") && !is_made_up(&"g".repeat(DIGITS)) && !is_made_up(""));
    }
}
