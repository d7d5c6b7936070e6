//! The product that the service runs with, Infinite Scale or OpenCloud, which have different defaults.

use std::path::{Path, PathBuf};

use figment::{Figment, Source};

use super::{SETTINGS, environment::Environment, layer::Layer};

/// Prefix of OpenCloud's variables.
const OPEN_CLOUD_PREFIX: &str = "OC_";
/// The configuration directory of OpenCloud in its container and packages.
const OPEN_CLOUD_DIRECTORY: &str = "/etc/opencloud";
/// The configuration directory of OpenCloud in the user's home directory.
const OPEN_CLOUD_DIRECTORY_IN_HOME: &str = ".opencloud/config";
/// The configuration directory of Infinite Scale in its container and packages.
const INFINITE_SCALE_DIRECTORY: &str = "/etc/ocis";
/// The configuration directory of Infinite Scale in the user's home directory.
const INFINITE_SCALE_DIRECTORY_IN_HOME: &str = ".ocis/config";

/// The names in the registry under which the proxies of Infinite Scale and OpenCloud look for the service.
pub const SERVICE_NAMES: [&str; 2] = ["com.owncloud.sse.sse", "eu.opencloud.sse.sse"];
/// The default of OpenCloud that differs from the one in the list of settings, which is Infinite Scale's.
const OPEN_CLOUD_DEFAULT: (&str, &str) = ("registry.service_name", SERVICE_NAMES[1]);

/// Returns the directories that may have the file, those of the detected product first.
pub(super) fn directories(environment: &Environment) -> Vec<PathBuf> {
    let home = |below: &str| environment.path("HOME").map(|home| home.join(below));
    let infinite_scale =
        home(INFINITE_SCALE_DIRECTORY_IN_HOME).into_iter().chain([INFINITE_SCALE_DIRECTORY.into()]);
    let open_cloud = home(OPEN_CLOUD_DIRECTORY_IN_HOME).into_iter().chain([OPEN_CLOUD_DIRECTORY.into()]);
    match variable(environment) {
        Some(_) => open_cloud.chain(infinite_scale).collect(),
        None => infinite_scale.chain(open_cloud).collect(),
    }
}

/// Adds OpenCloud's default to `defaults` if a variable or the directory of `file` belongs to OpenCloud.
pub(super) fn add_to(defaults: Figment, environment: &Environment, file: Option<&Path>) -> Figment {
    let by_variable = variable(environment).map(|name| format!("{name} is set"));
    let by_place = || {
        let directory = file?.parent()?;
        let is_open_clouds =
            directory == Path::new(OPEN_CLOUD_DIRECTORY) || directory.ends_with(OPEN_CLOUD_DIRECTORY_IN_HOME);
        is_open_clouds.then(|| format!("the file is in {}", directory.display()))
    };
    let Some(reason) = by_variable.or_else(by_place) else { return defaults };
    let source = Source::Custom(format!("default for OpenCloud: {reason}"));
    let (key, default) = OPEN_CLOUD_DEFAULT;
    match SETTINGS.iter().find(|setting| setting.key == key) {
        Some(setting) => defaults.merge(Layer { setting, value: default.into(), source: Some(source) }),
        None => defaults,
    }
}

fn variable(environment: &Environment) -> Option<&str> {
    environment.names().find(|name| name.starts_with(OPEN_CLOUD_PREFIX))
}
