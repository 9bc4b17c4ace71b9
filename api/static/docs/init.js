// Shows the schema of this server. The validator is off: it would send the schema to another host.
"use strict";
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "none",
  persistAuthorization: false,
});
