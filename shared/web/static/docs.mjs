globalThis.SwaggerUIBundle({ url: "/openapi.json", domNode: document.getElementById("docs") });
