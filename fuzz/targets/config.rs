//! Configuration: any file, and any value of any parameter, as the file, `--set`, CONFIG SET and the replicated directory
//! have them. Nothing panics, what is refused changes nothing, and what is shown is accepted again.

#![no_main]

use quorate_cluster::config::{Config, PARAMETERS};

fn shown(config: &Config) -> Vec<Option<String>> {
    PARAMETERS.iter().map(|parameter| config.get(parameter.name)).collect()
}

fn one_value(name: &str, value: &str) {
    let config = Config::default();
    let before = shown(&config);
    if config.set_at_start(name, value).is_err() {
        assert_eq!(shown(&config), before, "{name} = {value:?}");
    } else {
        let text = config.get(name).expect("it was just set");
        config.set_at_start(name, &text).unwrap_or_else(|error| panic!("{name} shows {text:?}: {error}"));
        assert_eq!(config.get(name).as_deref(), Some(&*text), "{name} = {value:?}");
        let _whatever = config.check();
    }
    let config = Config::default();
    if config.set(name, value).is_err() {
        assert_eq!(shown(&config), before, "{name} = {value:?}");
    }
    if config.apply_cluster(name, Some(value)).is_err() {
        let _whatever = config.apply_cluster(name, None);
    }
    let _whatever = config.set_pair(&format!("{name}={value}"));
    let _whatever = config.get_matching(&[name, value]);
    let _whatever = config.given_for_cluster();
}

libfuzzer_sys::fuzz_target!(
    init: quorate_fuzz::seeds(|| {
        let config = Config::default();
        let line = |name: &str| format!("{name} = {:?}\n", config.get(name).unwrap_or_default());
        let lines: Vec<String> = PARAMETERS.iter().map(|parameter| line(parameter.name)).collect();
        lines.chunks(8).map(|lines| lines.concat().into_bytes()).collect()
    }),
    |data: &[u8]| {
        let Ok(text) = std::str::from_utf8(data) else { return };
        if let Ok(config) = Config::from_toml(text) {
            let _whatever = config.check();
            shown(&config);
        }
        let mut all = Vec::new();
        for line in text.lines().take(12) {
            let Some((name, value)) = line.split_once(" = ") else { continue };
            one_value(name, value.trim_matches('"'));
            all.extend([name, value]);
        }
        let config = Config::default();
        let before = shown(&config);
        if config.set_all(&all).is_err() {
            assert_eq!(shown(&config), before, "all of them or none");
        }
    }
);
