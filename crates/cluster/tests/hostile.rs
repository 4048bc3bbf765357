//! Nothing in a configuration file or in CONFIG SET makes a node panic, and what is refused changes nothing.

use proptest::prelude::*;
use quorate_cluster::config::{Config, PARAMETERS};

/// Values as people and programs write them.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 .:-]{0,12}",
        "-?[0-9]{1,25}(kb|mb|gb|ms|s|%|b|k|m|g)?",
        "\\PC{0,20}",
        prop_oneof![Just("yes"), Just("no"), Just(""), Just("always"), Just("everysec"), Just("debug")]
            .prop_map(str::to_owned),
        "(normal|replica|pubsub|x) [0-9]{1,20}(mb|gb)? [0-9]{1,9} -?[0-9]{1,9}",
        "[0-9a-f:.]{1,20}",
    ]
}

fn shown(config: &Config) -> Vec<Option<String>> {
    PARAMETERS.iter().map(|p| config.get(p.name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_every_parameter(value in any_value()) {
        for parameter in PARAMETERS {
            let config = Config::default();
            let before = shown(&config);
            if config.set_at_start(parameter.name, &value).is_err() {
                prop_assert_eq!(shown(&config), before.clone(), "{}", parameter.name);
            } else {
                // What it shows is what it takes.
                let text = config.get(parameter.name).unwrap();
                prop_assert!(config.set_at_start(parameter.name, &text).is_ok(), "{} = {:?}", parameter.name, text);
                prop_assert_eq!(config.get(parameter.name).unwrap(), text);
                let _whatever = config.check();
            }
            let config = Config::default();
            if config.set(parameter.name, &value).is_err() {
                prop_assert_eq!(shown(&config), before, "{}", parameter.name);
            }
        }
    }

    #[test]
    fn any_file(lines in proptest::collection::vec(
        prop_oneof![
            4 => (0..PARAMETERS.len(), any_value()).prop_map(|(n, value)| format!("{} = {value:?}", PARAMETERS[n].name)),
            2 => (0..PARAMETERS.len(), any_value()).prop_map(|(n, value)| format!("{} = {value}", PARAMETERS[n].name)),
            1 => "\\PC{0,40}",
            1 => Just("[table]".to_owned()),
        ],
        0..6,
    )) {
        if let Ok(config) = Config::from_toml(&lines.join("\n")) {
            let _whatever = config.check();
            shown(&config);
        }
    }
}
