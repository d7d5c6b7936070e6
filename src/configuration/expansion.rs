//! Variables in the values of a file: `${NAME}` or `${NAME|default}`, the syntax of the platform's library (gookit/config).

use figment::value::Value;

use super::environment::Environment;

/// Replaces the variables in a string or a list of strings. An empty variable counts as not set.
///
/// # Errors
///
/// Returns the problem of the first variable that cannot be replaced.
pub(super) fn expand(value: Value, environment: &Environment) -> Result<Value, String> {
    match value {
        Value::String(tag, text) => Ok(Value::String(tag, expand_text(&text, environment)?)),
        Value::Array(tag, values) => {
            let values = values.into_iter().map(|value| expand(value, environment));
            Ok(Value::Array(tag, values.collect::<Result<_, _>>()?))
        }
        value => Ok(value),
    }
}

fn expand_text(text: &str, environment: &Environment) -> Result<String, String> {
    // If the text is a single expression, the default may contain braces.
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

/// Returns the value of `NAME`, `NAME|default` or `NAME|?message`. The message is reported if the variable is not set.
fn variable(expression: &str, environment: &Environment) -> Result<String, String> {
    let (name, default) = match expression.split_once('|') {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (expression.trim(), None),
    };
    let value = environment.text(name).transpose();
    let value = value.map_err(|problem| format!("refers to the variable {name}, which {problem}"))?;
    match (value.filter(|value| !value.is_empty()), default.map(|default| default.strip_prefix('?'))) {
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some(None)) => Ok(default.unwrap_or_default().to_owned()),
        (None, Some(Some(reason))) if !reason.is_empty() => {
            Err(format!("refers to the variable {name}, which is not set: {reason}"))
        }
        (None, _) => Err(format!("refers to the variable {name}, which is not set")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let environment = [("NAME", "a"), ("OTHER", "b"), ("EMPTY", "")].into_iter().collect::<Environment>();
        let check = |text: &str, expected: Result<&str, &str>| {
            let result = expand_text(text, &environment);
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
        check("${NONE}", Err("refers to the variable NONE, which is not set"));
        check("${EMPTY}", Err("refers to the variable EMPTY, which is not set"));
        check("${NONE|?}", Err("refers to the variable NONE, which is not set"));
        check("${NONE|?set it}", Err("refers to the variable NONE, which is not set: set it"));
    }
}
