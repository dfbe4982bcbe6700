// Requests to the HTTP part. A session that has ended leads to the login page.

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title);
    this.status = status;
  }
}

export async function ask(method, path, body) {
  const options = { method, headers: {}, cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(`/api/${path}`, options);
  if (answer.status === 401) location.replace("/login");
  if (!answer.ok) throw new Refused(answer.status, await answer.json());
  return answer.status === 204 ? null : answer.json();
}
