// The habits of the page's code. The files to check are given on the command line.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["**/*.js"],
    languageOptions: {
      ecmaVersion: 2022,
      sourceType: "module",
      globals: { ...globals.browser, ...globals.worker },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "curly": ["error", "multi-line"],
      "eqeqeq": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector: "CallExpression[callee.object.name='console']",
          message: "Nobody reads a worker's console: report to the host.",
        },
        {
          selector: "Literal[value=/^(https?:)?\\u002F\\u002F/]",
          message: "The page fetches nothing from elsewhere: the host serves it all.",
        },
        {
          selector: "MemberExpression[property.name=/^(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|srcdoc)$/]",
          message: "What comes from outside becomes text, never markup: make elements.",
        },
        {
          selector: "CallExpression[callee.object.name='document'][callee.property.name=/^(write|writeln)$/]",
          message: "What comes from outside becomes text, never markup: make elements.",
        },
        {
          selector: "CallExpression[callee.property.name='createContextualFragment']",
          message: "What comes from outside becomes text, never markup: make elements.",
        },
      ],
      "no-var": "error",
      "prefer-const": "error",
      "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
    },
  },
];
