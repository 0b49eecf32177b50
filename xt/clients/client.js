// Node with its https module, and with fetch; see xt/clients.t for what each recipe is
// to print. fetch trusts the certificate by NODE_EXTRA_CA_CERTS.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');

const { BASE, CLEAR, CA, LOGIN, PASS, URL: TICKET_URL, LOGIN_URL, THEME } = process.env;
const ONLY = BASE + '/login/?login_only=1';
const form = (more) => new URLSearchParams({ user: LOGIN, pass: PASS, ...more }).toString();

// One request without redirects, as a script without packages makes it.
function request(url, { method = 'GET', headers = {}, body } = {}) {
    return new Promise((resolve, reject) => {
        const agent = url.startsWith('https:') ? https : http;
        const sent = agent.request(url, { method, headers, ca: fs.readFileSync(CA) }, (answer) => {
            let text = '';
            answer.on('data', (part) => { text += part; });
            answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text, url }));
        });
        sent.on('error', reject);
        if (body !== undefined) sent.write(body);
        sent.end();
    });
}

function post(url, body, headers) {
    const type = { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) };
    return request(url, { method: 'POST', body, headers: { ...type, ...headers } });
}

const cookies = (answer) => (answer.headers['set-cookie'] || []).map((line) => line.split(';')[0]);
const shown = (answer) => `${answer.status} ${answer.text.split('\n')[0]}`;
const get = (url, cookie) => request(url, { headers: cookie ? { Cookie: cookie } : {} });

// Follows redirects, with the cookies of all answers; a POST becomes a GET.
async function follow(answer, jar = []) {
    jar = jar.concat(cookies(answer));
    if (answer.status < 300 || answer.status > 399) return answer;
    const target = new URL(answer.headers.location, answer.url).href;
    return follow(await get(target, jar.join('; ')), jar);
}

// With the token opens a page, or returns status and "status" of a refusal.
async function openWith(page, answer, choose = (all) => all.join('; '), slash = '') {
    const said = JSON.parse(answer.text);
    if (!said.security_token) return `${answer.status} ${said.status}`;
    return shown(await get(BASE + slash + said.security_token + page, choose(cookies(answer))));
}

// The answer of fetch in the form of request()'s.
async function fetched(url, options) {
    const answer = await fetch(url, { redirect: 'manual', ...options });
    const headers = { 'set-cookie': answer.headers.getSetCookie ? answer.headers.getSetCookie()
        : (answer.headers.get('set-cookie') || '').split(/, (?=[a-z]+=)/) };
    return { status: answer.status, headers, text: await answer.text(), url };
}

function fields() {
    const data = new FormData();
    data.append('user', LOGIN);
    data.append('pass', PASS);
    return data;
}

const recipes = {
    json: async () => openWith('/json', await post(ONLY, form())),
    jar: async () => shown(await follow(await post(BASE + '/login/', form({ goto_uri: '/jar' })))),
    refresh: async () => {
        const answer = await post(BASE + '/login/', form({ goto_uri: '/refresh' }));
        const found = answer.text.match(/META HTTP-EQUIV="refresh" CONTENT="2;URL=(\/cpsess[^"]*)"/);
        return shown(await get(BASE + found[1], cookies(answer).join('; ')));
    },
    first: async () => openWith('/first', await post(ONLY, form()), (all) => all[0]),
    named: async () => openWith('/named', await post(ONLY, form()),
        (all) => all.find((cookie) => cookie.split('=')[0].endsWith('session'))),
    multipart: async () => openWith('/multipart', await fetched(ONLY, { method: 'POST', body: fields() })),
    origin: async () => openWith('/origin', await post(ONLY, form(), { Origin: CLEAR })),
    foreign: async () => openWith('/foreign', await post(ONLY, form(), { Origin: 'https://portal.example' })),
    slashes: async () => openWith('/slashes', await post(ONLY, form()), undefined, '/'),
    appended: async () => shown(await follow(await get(TICKET_URL + '&goto_uri=/appended'))),
    login: async () => shown(await follow(await get(LOGIN_URL + '&goto_uri=%2flogin-form'))),
    theme: async () => (await follow(await get(THEME))).url.match(/\/frontend\/([^/]+)\//)[1],
    wrong: async () => openWith('/wrong', await fetched(ONLY, { method: 'POST', body: new URLSearchParams({ user: LOGIN, pass: 'wrong' }) })),
    get: async () => openWith('/get', await get(ONLY + '&' + form())),
    query: async () => openWith('/query', await post(ONLY + '&' + form(), '')),
    clear: async () => openWith('/clear', await follow(await post(CLEAR + '/login/?login_only=1', form()))),
    followed: async () => {
        const answer = await follow(await post(CLEAR + '/login/', form()));
        return (answer.url + answer.text).includes('cpsess') ? 'cpsess' : 'none';
    },
};

(async () => {
    for (const name of process.argv.slice(2)) console.log(`${name}: ${await recipes[name]()}`);
})();
