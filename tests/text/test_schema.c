/* JSON schemas: which texts their grammars take, and the line of each refusal. */
#include "vocab_file.h"
#include "runtime/base/buf.h"
#include "runtime/text/grammar.h"

enum { MOST = 12 };

static Fixture vocab;

static int open_vocab(void **state) {
    (void)state;
    fixture_start(&vocab, "gpt-2");
    fixture_bytes(&vocab);
    fixture_open(&vocab);
    return 0;
}
static int close_vocab(void **state) {
    (void)state;
    fixture_close(&vocab);
    return 0;
}

static TernGrammar *grammar_of(const char *schema) {
    TernGrammar *g;
    TernError err;
    char *text;
    size_t n;
    if (tern_grammar_of_schema(schema, strlen(schema), &text, &n, &err) != TERN_OK)
        fail_msg("%s\n%s", schema, err.text);
    assert_int_equal(strlen(text), n);
    if (tern_grammar_create(vocab.vocab, text, n, &g, &err) != TERN_OK)
        fail_msg("%s\n%s\n%s", schema, text, err.text);
    if (getenv("TERN_SHOW")) printf("%s\n%s\n", schema, text);
    free(text);
    return g;
}

static bool takes(TernGrammar *g, const char *text) {
    TernGrammarState s = TERN_GRAMMAR_START;
    TernError err;
    for (const char *c = text; *c; c++)
        if (tern_grammar_accept(g, s, (unsigned char)*c, &s, &err) != TERN_OK) return false;
    return tern_grammar_may_end(g, s);
}

static const struct {
    const char *schema;
    const char *yes[MOST], *no[MOST];
} cases[] = {
    {"{}",
     {"{}", "{\"foo\":\"bar\"}", "{ \"a\": [1, null, -2.5e+3],\n\t\"b\":{} }"},
     {"", "[]", "null", "\"\"", "true", "{\"a\"}", "{\"a\":1,}"}},
    {"true", {"{}", "[]", "null", "1", "\"\""}, {"", "x"}},
    {"{\"type\":\"string\"}",
     {"\"foo\"", "\"\"", "\"\\u00e9\\n\xc3\xa9\"", "\"\\/\""},
     {"{}", "\"foo\": \"bar\"", "\"a\nb\"", "\"\\ud800\"", "\"\\x\"", "foo"}},
    {"{\"type\":\"string\",\"minLength\":3}",
     {"\"foo\"", "\"foobar\"", "\"a\\u0041\xe2\x82\xac\""},
     {"\"\"", "\"fo\""}},
    {"{\"type\":\"string\",\"maxLength\":3}", {"\"foo\"", "\"\""}, {"\"foobar\""}},
    {"{\"minLength\":1,\"maxLength\":4}", {"\"foo\"", "\"barf\"", "\"f\""}, {"\"\"", "\"barfo\"", "1"}},
    {"{\"type\":\"boolean\"}", {"true", "false"}, {"\"\"", "\"true\"", "True", "FALSE"}},
    {"{\"type\":\"null\"}", {"null"}, {"nul", "NULL"}},
    {"{\"type\":\"integer\"}",
     {"0", "12345", "1234567890123456", "-1"},
     {"", "01", "007", "12345678901234567", "1.0", "-", "-0"}},
    {"{\"type\":\"number\"}", {"0", "-0.5", "1e5", "12.25E-3"}, {"", "01", ".5", "1.", "1e", "+1"}},
    {"{\"type\":\"integer\",\"minimum\":0}",
     {"0", "10", "12", "10000"},
     {"-1", "-10", "-100000000000000000000000000000000", "100000000000000000000000000000000", "00", "01",
      "-0"}},
    {"{\"type\":\"integer\",\"minimum\":2}",
     {"2", "3", "10", "20", "1234567890000000"},
     {"0", "1", "-1", "-100", "01", "02", "12345678900000000"}},
    {"{\"type\":\"integer\",\"minimum\":456}",
     {"456", "4560", "457", "460", "500"},
     {"455", "356", "50", "050", "-1", "-456"}},
    {"{\"type\":\"integer\",\"minimum\":-123}",
     {"-123", "-122", "-11", "-1", "0", "1", "123", "1234", "2345"},
     {"-1234", "-124"}},
    {"{\"type\":\"integer\",\"maximum\":9999}", {"-99999", "0", "9999"}, {"10000", "99991"}},
    {"{\"type\":\"integer\",\"maximum\":-9999}", {"-10000", "-9999"}, {"-9998", "0", "9999"}},
    {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":30}",
     {"5", "10", "30", "29"},
     {"05", "4", "-1", "31", "123", "0123"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":0,\"maximum\":900719925474091}",
     {"1", "2", "10", "900719925474090", "900719925474091"},
     {"0", "01", "900719925474092", "9007199254740910"}},
    {"{\"type\":\"integer\",\"minimum\":-1,\"maximum\":1}",
     {"-1", "0", "1"},
     {"-11", "-10", "-2", "2", "10", "11"}},
    {"{\"type\":\"integer\",\"minimum\":-123,\"maximum\":42}",
     {"-123", "-122", "-13", "-11", "-2", "-1", "0", "1", "5", "10", "39", "42"},
     {"-0123", "-124", "-1123", "-200", "43", "123", "0123"}},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":10000}",
     {"1", "9999"},
     {"0", "01", "10000", "99999"}},
    {"{\"type\":\"integer\",\"minimum\":2.5,\"maximum\":4.5}", {"3", "4"}, {"2", "5", "2.5"}},
    {"{\"type\":\"number\",\"minimum\":0,\"maximum\":1}",
     {"0", "1", "0.5", "0.999999", "0.0"},
     {"-0.5", "1.5", "1.0", "2", "-0", "5e-1"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0}",
     {"12.50", "0.5", "1", "3.25"},
     {"0", "0.0", "-12.50", "0.00"}},
    {"{\"type\":\"number\",\"minimum\":-2,\"exclusiveMaximum\":1}",
     {"-2", "-1.5", "-0.5", "0.75", "0"},
     {"1", "1.5", "-2.5", "-2.0"}},
    {"{\"const\":\"foo\"}", {"\"foo\""}, {"foo", "\"bar\""}},
    {"{\"const\":true}", {"true"}, {"", "\"true\""}},
    {"{\"enum\":[\"red\",\"amber\",\"green\",null,42,[\"foo\"]]}",
     {"\"red\"", "null", "42", "[\"foo\"]"},
     {"", "420", "true", "foo"}},
    {"{\"type\":\"string\",\"enum\":[\"a\\\"b\\\\\",1]}", {"\"a\\\"b\\\\\""}, {"1"}},
    {"{\"pattern\":\"^[a-zA-Z0-9_-]*$\"}", {"\"\"", "\"He_llo-12\""}, {"\"!\"", "\"Hello World\""}},
    {"{\"pattern\":\"^a\\\\^\\\\$\\\\.\\\\[\\\\]\\\\(\\\\)\\\\|\\\\{\\\\}\\\\*\\\\+\\\\?b$\"}",
     {"\"a^$.[]()|{}*+?b\""},
     {"\"ab\""}},
    {"{\"pattern\":\"^(\\\\([0-9]{1,3}\\\\))?[0-9]{3}-[0-9]{4}$\"}",
     {"\"(800)555-1234\"", "\"555-1234\""},
     {"\"(80a)555-1234\"", "\"5551234\""}},
    {"{\"pattern\":\"^(?:ab|c\\\\d+?|)\\\\s\\\"$\"}",
     {"\"ab \\\"\"", "\"c12\\t\\\"\"", "\" \\\"\""},
     {"\"ab\\\"\"", "\"c \\\"\"", "\"ab \"\""}},
    {"{\"pattern\":\"^[^a\\\\d].\\\\W$\"}",
     {"\"bx!\"", "\"\\\"\xc3\xa9 \""},
     {"\"ax!\"", "\"1x!\"", "\"bxa\"", "\"bx\xc3\xa9\""}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2012-04-23\"", "\"2024-02-29\"", "\"2000-02-29\"", "\"0001-01-01\""},
     {"\"2023-02-29\"", "\"1900-02-29\"", "\"2012-04-31\"", "\"2012-13-01\"", "\"0000-01-01\"",
      "\"2012-4-23\""}},
    {"{\"items\":[{\"format\":\"date\"},{\"format\":\"uuid\"},{\"format\":\"time\"},{\"format\":\"date-"
     "time\"}]}",
     {"[\"2012-04-23\", \"12345678-1234-1234-1234-1234567890ab\", \"18:25:43.511Z\", "
      "\"2012-04-23T18:25:43.511Z\"]"},
     {"[\"foo\", \"bar\"]", "[\"12345678-1234-1234-1234-1234567890ab\"]", "[]"}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}",
     {"\"127.0.0.1\"", "\"255.249.199.9\""},
     {"\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""}},
    {"{\"type\":\"integer\",\"format\":\"int64\",\"maxLength\":3}", {"12345"}, {"\"12\""}},
    {"{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"string\"}}",
     {"null", "[]", "[\"123\"]", "[\"foo\", \"bar\"]"},
     {"", "[123]", "\"foo\"", "[\"foo\", 42]"}},
    {"{\"items\":{\"type\":[\"number\",\"integer\"]},\"minItems\":3,\"maxItems\":5}",
     {"[1, 2, 3]", "[1, 2, 3, 4]", "[ 1,2,3,4,5 ]"},
     {"[1, 2]", "[1, 2, 3, 4, 5, 6]", "1"}},
    {"{\"type\":\"array\",\"maxItems\":1,\"uniqueItems\":true}", {"[]", "[1]", "[ {} ]"}, {"[1,1]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]", "[ ]"}, {"[1]"}},
    {"{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"number\"}]}",
     {"[\"a\", 1]"},
     {"[\"a\"]", "[1, \"a\"]", "[\"a\", 1, 2]"}},
    {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"},\"maxItems\":3}",
     {"[\"a\"]", "[\"a\", null]", "[\"a\", null,null ]"},
     {"[]", "[\"a\",null,null,null]", "[\"a\",1]"}},
    {"{\"prefixItems\":[{\"type\":\"string\"}],\"minItems\":2}", {"[\"a\", 7]"}, {"[\"a\"]", "[\"a\",1,2]"}},
    {"{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"number\"},\"street_name\":{\"type\":"
     "\"string\"},"
     "\"street_type\":{\"enum\":[\"Street\",\"Avenue\"]}}}",
     {"{ \"number\": 1600, \"street_name\": \"Pennsylvania\", \"street_type\":\"Avenue\"}",
      "{ \"street_name\": \"Pennsylvania\" }", "{ \"number\": 1600, \"street_name\": \"Pennsylvania\" }",
      "{}", "{ \"number\": 1600, \"street_type\":\"Avenue\"}"},
     {"{ \"number\": \"1600\", \"street_name\": \"P\", \"street_type\":\"Avenue\"}",
      "{ \"street_name\": \"P\", \"number\": 1600 }",
      "{ \"number\": 1600, \"street_name\": \"P\", \"street_type\":\"Avenue\", \"direction\":\"NW\"}",
      "{,}"}},
    {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},\"additionalProperties\":"
     "true}",
     {"{\"a\": 42}", "{\"c\": \"\"}", "{\"a\": 42, \"c\": \"\"}", "{\"a_\": \"\"}", "{\"\":1}",
      "{\"ab\":1,\"b_\":null}"},
     {"", "{\"a\": \"\"}", "{\"a\": \"\", \"b\": \"\"}", "{\"b\":1,\"a\":1}", "{\"\\u0061\":\"\"}"}},
    {"{\"properties\":{\"name\":true,\"names\":true,\"na\xc3\xafve\":true,\"no\":true,\"\":true},"
     "\"additionalProperties\":{\"type\":\"null\"}}",
     {"{\"n\":null}", "{\"nam\":null}", "{\"namesx\":null,\"nay\":null}", "{\"na\xc3\xafv\":null}",
      "{\"name\":1,\"x\":null}"},
     {"{\"x\":1}", "{\"x\":null,\"name\":null}", "{\"names\":null,\"name\":null}", "{\"x\":null,\"\":null}"}},
    {"{\"properties\":{\"b\":{\"type\":\"string\"},\"a\":{\"type\":\"string\"},\"d\":{\"type\":\"string\"},"
     "\"c\":{\"type\":\"string\"}},"
     "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}",
     {"{\"b\": \"foo\", \"a\": \"bar\"}", "{\"b\":\"foo\",\"a\":\"bar\",\"d\":\"qux\"}",
      "{\"b\":\"foo\", \"a\":\"bar\", \"d\":\"qux\", \"c\":\"baz\"}"},
     {"{\"a\": \"foo\", \"b\": \"bar\"}", "{\"b\": \"bar\"}", "{\"a\": \"foo\", \"c\": \"baz\"}",
      "{\"a\":\"foo\", \"b\":\"bar\", \"c\":\"baz\", \"d\":\"qux\"}"}},
    {"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$id\":\"https://example.com/"
     "product.schema.json\","
     "\"title\":\"Product\",\"type\":\"object\",\"properties\":{\"productId\":{\"description\":\"x\","
     "\"type\":\"integer\"},"
     "\"productName\":{\"type\":\"string\"},\"price\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
     "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1},\"dimensions\":{\"type\":"
     "\"object\","
     "\"properties\":{\"length\":{\"type\":\"number\"},\"width\":{\"type\":\"number\"}},\"required\":["
     "\"length\",\"width\"]}},"
     "\"required\":[\"productId\",\"productName\",\"price\"]}",
     {"{\"productId\": 1, \"productName\": \"A green door\", \"price\": 12.50}",
      "{\"productId\": 1, \"productName\": \"A green door\", \"price\": 12.50, \"tags\": [\"home\", "
      "\"green\"]}",
      "{\"productId\": 1, \"productName\": \"A green door\", \"price\": 12.50, \"tags\": [\"home\"], "
      "\"dimensions\": {\"length\": 785, \"width\": -250.5}}"},
     {"{}", "{\"productName\": \"A green door\", \"price\": 12.50, \"productId\": 1}",
      "{\"productId\": 1, \"productName\": \"A green door\"}",
      "{\"productId\": 1, \"productName\": \"A green door\", \"price\": 12.50, \"tags\": []}",
      "{\"productId\": 1, \"productName\": \"A green door\", \"price\": -12.50}"}},
    {"{\"required\":[\"x\"]}", {"{\"x\":[]}", "{\"x\": 1, \"y\": 2}"}, {"{}", "{\"y\":1}"}},
    {"{\"properties\":{\"a\":false,\"b\":true}}", {"{}", "{\"b\":1}"}, {"{\"a\":1}"}},
    {"{\"type\":\"object\",\"minProperties\":0,\"properties\":{\"a\":true},\"maxProperties\":1}",
     {"{}", "{\"a\":1}"},
     {"{\"a\":1,\"b\":1}"}},
    {"{\"type\":\"integer\",\"minimum\":999999999999999999}", {"999999999999999999"}, {"999999999999999998"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":1000000000}",
     {"1000000001", "9007199254740991"},
     {"1000000000", "1000000000.5"}},
    {"{\"type\":\"number\",\"maximum\":-1e9}", {"-1000000000", "-1000000001"}, {"-999999999"}},
    {"{\"type\":\"number\",\"maximum\":1e9}", {"999999999.5", "1000000000", "-1000000000"}, {"1000000000.5"}},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", {"\"a\"", "null"}, {"1"}},
    {"{\"type\":\"string\",\"anyOf\":[{\"type\":\"integer\"},{\"maxLength\":2}]}",
     {"\"ab\""},
     {"\"abc\"", "1"}},
    {"{\"enum\":[\"a\",\"b\"],\"oneOf\":[{\"const\":\"b\"},{\"const\":\"c\"}]}",
     {"\"b\""},
     {"\"a\"", "\"c\""}},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\"},{\"enum\":[true,null]}]}",
     {"\"a\"", "7", "true"},
     {"false"}},
    {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"a\"},\"x\":{\"type\":\"null\"}},"
     "\"required\":[\"t\"]},"
     "{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"b\"},\"y\":{\"type\":\"null\"}},\"required\":["
     "\"t\"]}]}",
     {"{\"t\":\"a\",\"x\":null}", "{\"t\":\"b\",\"y\":null}"},
     {"{\"t\":\"a\",\"y\":null}", "{\"x\":null}"}},
    {"{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"null\"}},\"anyOf\":[{\"properties\":{\"a\":true}"
     ",\"required\":[\"a\"]},{\"properties\":{\"b\":true},\"required\":[\"b\"]}]}",
     {"{\"k\":null,\"a\":1}", "{\"b\":1}"},
     {"{\"k\":null}", "{}"}},
    {"{\"allOf\":[{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"integer\"}},{"
     "\"prefixItems\":[{"
     "\"type\":\"string\"}],\"items\":{\"maximum\":5}}]}",
     {"[\"a\"]", "[\"a\",5]"},
     {"[\"a\",6]", "[5]"}},
    {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3}},\"required\":[\"a\"]},"
     "{\"properties\":{\"a\":{\"maximum\":5},\"b\":{\"type\":\"null\"}}}]}",
     {"{\"a\":3}", "{\"a\":5,\"b\":null}"},
     {"{}", "{\"a\":2}", "{\"a\":6}", "{\"b\":null}"}},
    {"{\"allOf\":[{\"properties\":{\"a\":true},\"additionalProperties\":false},{\"properties\":{\"b\":true}}]"
     "}",
     {"{}", "{\"a\":1}"},
     {"{\"b\":1}"}},
    {"{\"enum\":[1,2,3],\"allOf\":[{\"enum\":[2.0,3,4]},{\"type\":\"integer\"}]}", {"2", "3"}, {"1", "4"}},
    {"{\"$ref\":\"#/$defs/"
     "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
     "node\"},{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", {"[]", "[[],[[]]]"}, {"[1]"}},
    {"{\"definitions\":{\"a/b~c\":{\"const\":1}},\"properties\":{\"x\":{\"$ref\":\"#/definitions/"
     "a~1b~0c\",\"description\":\"one\"}}}",
     {"{\"x\":1}"},
     {"{\"x\":2}"}},
    {"{\"$defs\":{\"a "
     "b[\xc3\xa9]\":{\"const\":1},\"50%\":{\"const\":2},\"c/d\":{\"const\":3}},\"prefixItems\":["
     "{\"$ref\":\"#/$defs/a%20b%5B%c3%A9%5d\"},{\"$ref\":\"#/%24defs%2F50%\"},{\"$ref\":\"#/$defs/"
     "c%7e1d\"}],\"minItems\":3,\"items\":false}",
     {"[1,2,3]"},
     {"[2,2,3]", "[1,1,3]", "[1,2,2]"}},
    {"{\"$defs\":{\"p\":{\"type\":\"integer\",\"minimum\":0}},\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
     "p\",\"maximum\":9}},\"required\":[\"x\"]}",
     {"{\"x\":9}"},
     {"{\"x\":10}", "{\"x\":-1}"}},
    {"{\"$defs\":{\"A\":{\"properties\":{\"x\":{\"$ref\":\"#/$defs/"
     "A\"}}},\"B\":{\"properties\":{\"x\":{\"$ref\":\"#/$defs/B\"},\"y\":{\"type\":\"null\"}}}},"
     "\"allOf\":[{\"$ref\":\"#/$defs/A\"},{\"$ref\":\"#/$defs/B\"}]}",
     {"{\"x\":{\"x\":{},\"y\":null}}"},
     {"{\"x\":1}"}},
    {"{\"properties\":{\"weird \\\"key\\n\":{\"type\":\"null\"}}}",
     {"{\"weird \\\"key\\n\":null}"},
     {"{\"weird\":null}"}},
};

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TernGrammar *g = grammar_of(cases[i].schema);
        for (int k = 0; k < MOST && cases[i].yes[k]; k++)
            if (!takes(g, cases[i].yes[k]))
                fail_msg("%s\ndoes not take\n%s", cases[i].schema, cases[i].yes[k]);
        for (int k = 0; k < MOST && cases[i].no[k]; k++)
            if (takes(g, cases[i].no[k])) fail_msg("%s\ntakes\n%s", cases[i].schema, cases[i].no[k]);
        tern_grammar_destroy(g);
    }
}

static const struct {
    const char *schema, *error;
    TernStatus status;
} refused[] = {
    {"{", "line 1, column 1: string or '}' expected near end of file", TERN_ERR_INPUT},
    {"3", "#: got an integer, expected a schema", TERN_ERR_INPUT},
    {"false", "#: no value matches", TERN_ERR_UNSUPPORTED},
    {"{\"properties\":{\"a\":{\"not\":{}}}}", "#/properties/a/not: is not supported", TERN_ERR_UNSUPPORTED},
    {"{\"patternProperties\":{\"^a\":true}}", "#/patternProperties: is not supported", TERN_ERR_UNSUPPORTED},
    {"{\"if\":true}", "#/if: is not supported", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"strong\"}", "#/type: got 'strong', expected a type of JSON", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"format\":\"email\"}",
     "#/format: got 'email', expected one of date, time, date-time, uuid, ipv4", TERN_ERR_UNSUPPORTED},
    {"{\"pattern\":\"abc\"}", "#/pattern: got 'abc', expected a pattern from ^ to $", TERN_ERR_UNSUPPORTED},
    {"{\"pattern\":\"^a|b$\"}",
     "#/pattern: at byte 3 of '^a|b$': '|' is supported only in parentheses, between ^ and $",
     TERN_ERR_UNSUPPORTED},
    {"{\"pattern\":\"^(?=a)b$\"}",
     "#/pattern: at byte 3 of '^(?=a)b$': only (?:..) is supported of the groups with '?'",
     TERN_ERR_UNSUPPORTED},
    {"{\"pattern\":\"^\\\\bx$\"}", "#/pattern: at byte 3 of '^\\bx$': this escape is not supported",
     TERN_ERR_UNSUPPORTED},
    {"{\"pattern\":\"^a\\\\$\"}", "#/pattern: got '^a\\$', expected a pattern from ^ to $",
     TERN_ERR_UNSUPPORTED},
    {"{\"items\":{\"type\":\"string\",\"pattern\":\"^a$\",\"minLength\":1}}",
     "#/items/pattern: is not supported beside minLength or maxLength", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"array\",\"uniqueItems\":true}", "#/uniqueItems: is not supported for more than one item",
     TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", "#/items: got at least 3 and at most 2 items",
     TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"number\",\"multipleOf\":2}", "#/multipleOf: is not supported", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}",
     "#: no integer is written here that is within the bounds", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"number\",\"minimum\":0.25,\"maximum\":0.75}",
     "#: no number is written here that is within the bounds", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"anyOf\":[{\"type\":\"integer\"},{\"enum\":[]}]}", "#/anyOf: no value matches",
     TERN_ERR_UNSUPPORTED},
    {"{\"minimum\":1000000000000000000}",
     "#/minimum: got 1000000000000000000, expected a bound of at most 18 digits", TERN_ERR_UNSUPPORTED},
    {"{\"minimum\":-9223372036854775808}",
     "#/minimum: got -9223372036854775808, expected a bound of at most 18 digits", TERN_ERR_UNSUPPORTED},
    {"{\"minimum\":1e300}", "#/minimum: got 1e+300, expected a bound of at most 18 digits",
     TERN_ERR_UNSUPPORTED},
    {"{\"minLength\":-1}", "#/minLength: got an integer, expected a count", TERN_ERR_INPUT},
    {"{\"maxLength\":2000000}", "#/maxLength: got 2000000, expected at most 1000000", TERN_ERR_UNSUPPORTED},
    {"{\"properties\":[]}", "#/properties: got an empty array, expected an object", TERN_ERR_INPUT},
    {"{\"required\":[\"a\"],\"additionalProperties\":false}",
     "#/required/a: is required, and no value matches", TERN_ERR_UNSUPPORTED},
    {"{\"type\":\"object\",\"minProperties\":1}",
     "#/minProperties: is not supported where it is more than a count of the named members",
     TERN_ERR_UNSUPPORTED},
    {"{\"enum\":[1,\"a\"],\"type\":\"null\"}", "#/enum: has no value of the type", TERN_ERR_UNSUPPORTED},
    {"{\"enum\":[\"a\"],\"minLength\":1}", "#/enum: is not supported beside 'minLength'",
     TERN_ERR_UNSUPPORTED},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
     "#/oneOf: alternatives 0 and 1 may both match, which is not supported", TERN_ERR_UNSUPPORTED},
    {"{\"anyOf\":[]}", "#/anyOf: got an empty array, expected an array of one or more schemas",
     TERN_ERR_INPUT},
    {"{\"items\":{\"oneOf\":[]}}",
     "#/items/oneOf: got an empty array, expected an array of one or more schemas", TERN_ERR_INPUT},
    {"{\"allOf\":[]}", "#/allOf: got an empty array, expected an array of one or more schemas",
     TERN_ERR_INPUT},
    {"{\"allOf\":{}}", "#/allOf: got an object, expected an array of one or more schemas", TERN_ERR_INPUT},
    {"{\"anyOf\":[false]}", "#/anyOf: no value matches", TERN_ERR_UNSUPPORTED},
    {"{\"$ref\":\"http://x/y\"}",
     "#/$ref: got 'http://x/y', expected a place in this schema, like #/$defs/name", TERN_ERR_UNSUPPORTED},
    {"{\"items\":{\"$ref\":\"#/$defs/x\"}}", "#/items/$ref: got '#/$defs/x', expected a place that exists",
     TERN_ERR_UNSUPPORTED},
    {"{\"\":true,\"items\":{\"$ref\":\"#/%00\"}}", "#/items/$ref: got '#/%00', expected a place that exists",
     TERN_ERR_UNSUPPORTED},
    {"{\"$defs\":{\"%41\":true},\"$ref\":\"#/$defs/%41\"}",
     "#/$ref: got '#/$defs/%41', expected a place that exists", TERN_ERR_UNSUPPORTED},
    {"{\"$ref\":\"#\"}", "#: refers to itself without an array or object in between", TERN_ERR_UNSUPPORTED},
    {"{\"allOf\":[{\"$ref\":\"#\"}]}", "#: refers to itself, or has too many allOf in each other",
     TERN_ERR_UNSUPPORTED},
    {"{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}",
     "#: no grammar of this schema: line 1, column 1: rule 'root' may begin with itself, expected no left "
     "recursion",
     TERN_ERR_UNSUPPORTED},
    {"{\"allOf\":[{\"prefixItems\":[{\"type\":\"string\"}]},{\"items\":{\"type\":\"integer\"}}]}",
     "#: 'prefixItems' of one schema and 'items' of another at once are not supported", TERN_ERR_UNSUPPORTED},
    {"{\"items\":false,\"anyOf\":[{\"prefixItems\":[{\"type\":\"string\"}]},{\"type\":\"null\"}]}",
     "#/anyOf/0: 'prefixItems' of one schema and 'items' of another at once are not supported",
     TERN_ERR_UNSUPPORTED},
    {"{\"allOf\":[{\"pattern\":\"^a$\"},{\"pattern\":\"^b$\"}]}",
     "#: two different 'pattern' at once are not supported", TERN_ERR_UNSUPPORTED},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        TernError err;
        char *text;
        size_t n;
        TernStatus st = tern_grammar_of_schema(refused[i].schema, strlen(refused[i].schema), &text, &n, &err);
        if (st == TERN_OK) fail_msg("%s\n%s", refused[i].schema, text);
        assert_string_equal(err.text, refused[i].error);
        assert_int_equal(st, refused[i].status);
        assert_null(text);
        assert_int_equal(n, 0);
    }
}

/* Bounds of integers against counting. */
static void test_integers(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 60; round++) {
        char schema[100], digits[20];
        int lo = (int)(test_random(&seed) % 2500) - 1200,
            hi = lo + (int)(test_random(&seed) % (round < 30 ? 30 : 1500));
        snprintf(schema, sizeof schema, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", lo, hi);
        TernGrammar *g = grammar_of(schema);
        for (int v = -1500; v < 3000; v++) {
            snprintf(digits, sizeof digits, "%d", v);
            if (takes(g, digits) != (v >= lo && v <= hi)) fail_msg("%d in %d..%d", v, lo, hi);
        }
        tern_grammar_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, open_vocab, close_vocab);
}
