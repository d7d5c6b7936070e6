//! Variables within a file's values: `${NAME}`, or `${NAME|default}`, as the platform's library (gookit/config) has them.

use figment::value::Value;

use super::environment::Environment;

/// Replaces the variables in texts, also within a list. A variable that is empty counts as not set.
///
/// # Errors
///
/// What is wrong with one of them.
pub(super) fn expanded(value: Value, environment: &Environment) -> Result<Value, String> {
    match value {
        Value::String(tag, text) => Ok(Value::String(tag, expanded_text(&text, environment)?)),
        Value::Array(tag, values) => {
            let values = values.into_iter().map(|value| expanded(value, environment));
            Ok(Value::Array(tag, values.collect::<Result<_, _>>()?))
        }
        value => Ok(value),
    }
}

fn expanded_text(text: &str, environment: &Environment) -> Result<String, String> {
    // Where there is nothing else, a default may contain braces itself.
    if let Some(only) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && !only.contains("${")
    {
        return variable(only, environment);
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, expression, after)) = rest.split_once("${").and_then(|(before, after)| {
        after.split_once('}').map(|(expression, after)| (before, expression, after))
    }) {
        result += before;
        result += &variable(expression, environment)?;
        rest = after;
    }
    Ok(result + rest)
}

/// The value of `NAME`, `NAME|default` or `NAME|?what is wrong without it`.
fn variable(expression: &str, environment: &Environment) -> Result<String, String> {
    let (name, default) = match expression.split_once('|') {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (expression.trim(), None),
    };
    let value = environment.text(name).transpose();
    let value = value.map_err(|wrong| format!("names the variable {name}, which {wrong}"))?;
    match (value.filter(|value| !value.is_empty()), default.map(|default| default.strip_prefix('?'))) {
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some(None)) => Ok(default.unwrap_or_default().to_owned()),
        (None, Some(Some(reason))) if !reason.is_empty() => {
            Err(format!("names the variable {name}, which is not set: {reason}"))
        }
        (None, _) => Err(format!("names the variable {name}, which is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_in_values() {
        let environment = [("NAME", "a"), ("OTHER", "b"), ("EMPTY", "")].into_iter().collect::<Environment>();
        let check = |text: &str, expected: Result<&str, &str>| {
            let result = expanded_text(text, &environment);
            assert_eq!(result, expected.map(Into::into).map_err(Into::into), "{text}");
        };
        check("${NAME}", Ok("a"));
        check("x${NAME}y${OTHER}z", Ok("xaybz"));
        check("$NAME {NAME} ${NAME", Ok("$NAME {NAME} ${NAME"));
        check("${NAME|c}", Ok("a"));
        check("${ NAME | c }", Ok("a"));
        check("${NONE|c}", Ok("c"));
        check("${ NONE | c d }", Ok("c d"));
        check("${NONE|}", Ok(""));
        check("${EMPTY|c}", Ok("c"));
        check("${NONE|a|b}", Ok("a|b"));
        check("${NONE|{c}}", Ok("{c}"));
        check("${NONE|c}/${OTHER|d}", Ok("c/b"));
        check("${NONE}", Err("names the variable NONE, which is not set"));
        check("${EMPTY}", Err("names the variable EMPTY, which is not set"));
        check("${NONE|?}", Err("names the variable NONE, which is not set"));
        check("${NONE|?set it}", Err("names the variable NONE, which is not set: set it"));
    }
}
