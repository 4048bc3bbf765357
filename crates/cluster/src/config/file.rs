//! The configuration file: TOML, one line per parameter.

use toml::Value;

use super::{Config, ConfigError};

impl Config {
    /// Reads a configuration file, on top of the defaults.
    ///
    /// A value may be a string, a number, a boolean, or a list of these (joined by spaces). Values are not yet
    /// compared with one another: see [`Self::check`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error| ConfigError::Syntax(Box::new(error)))?;
        let config = Self::default();
        for (name, value) in &table {
            let text = as_text(name, value)?;
            config.set_at_start(name, &text)?;
        }
        Ok(config)
    }
}

fn as_text(name: &str, value: &Value) -> Result<String, ConfigError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(value) => Ok((if *value { "yes" } else { "no" }).to_owned()),
        Value::Array(values) => {
            let texts: Result<Vec<_>, _> = values.iter().map(|value| as_text(name, value)).collect();
            Ok(texts?.join(" "))
        }
        Value::Table(_) | Value::Datetime(_) => Err(ConfigError::Type { name: name.to_owned() }),
    }
}
