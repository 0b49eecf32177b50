package Plack::Middleware::LogMeIn;

use strict;
use warnings;
use parent                qw(Plack::Middleware);
use Plack::App::LogMeIn   ();
use Plack::Util           ();
use Plack::Util::Accessor qw(gateway logins_at_once ports service);

our $VERSION = '0.01';

sub prepare_app {
    my ($self) = @_;
    my $gateway = Plack::App::LogMeIn->new(
        logins_at_once => $self->logins_at_once,
        ports          => $self->ports,
        service        => $self->service,
    );
    $gateway->prepare_app;
    $self->gateway($gateway);
    return;
}

sub call {
    my ( $self, $env ) = @_;
    my $answer = $self->gateway->admit($env);
    return $answer if $answer;
    return $self->response_cb( $self->app->($env), \&_keep_private );
}

# What only this user may see is not for a cache, unless the app knows better.
sub _keep_private {
    my ($response) = @_;
    my $headers = $response->[1];
    return if Plack::Util::header_exists( $headers, 'Cache-Control' );
    my $type = Plack::Util::header_get( $headers, 'Content-Type' ) // q{};
    push @{$headers}, 'Cache-Control' => 'no-store' if $type =~ m{\b(?:x?html)\b}i;
    return;
}

1;

__END__

=head1 NAME

Plack::Middleware::LogMeIn - put any PSGI app behind a login

=head1 SYNOPSIS

    use Plack::Builder;

    builder {
        enable 'LogMeIn';
        sub {
            my ($env) = @_;
            return [ 200, [ 'Content-Type' => 'text/plain' ], ["Hello $env->{REMOTE_USER}\n"] ];
        };
    };

=head1 DESCRIPTION

The app is asked only by those who are logged in, below C</cpsess##########/>.
Everything else is answered by L<Plack::App::LogMeIn>: the login page, login
URLs as L<Cpanel::LogMeIn/get_loggedin_url> makes them, logout, and every "no".

The app needs no change. It finds in its environment:

=over 4

=item C<REMOTE_USER>

The user who is logged in.

=item C<SCRIPT_NAME>, C<PATH_INFO>

The security token has moved from the one to the other, so that links that the
app makes with SCRIPT_NAME hold it.

=item C<logmein.user>, C<logmein.service>, C<logmein.token>

The user; C<cpanel>, C<whm> or C<webmail>; the security token.

=item C<logmein.session>

The session: see L<Cpanel::LogMeIn::Session/WHAT A SESSION IS>.

=item C<logmein.logout>

The path of a link that logs out.

=back

What a client claims to be in headers of such names does not reach the app.
Pages of the app in HTML get C<Cache-Control: no-store>, unless the app sets
that header itself.

After a login the browser comes with a GET without a body, wherever it was
going to before.

=head1 OPTIONS

=over 4

=item C<service>

C<cpanel>, C<whm> or C<webmail>. By default the port decides: see
L<Plack::App::LogMeIn/THE PORT DECIDES>.

=item C<ports>, C<logins_at_once>

See L<Plack::App::LogMeIn/OPTIONS>.

=back

=head1 METHODS

=head2 prepare_app, call

As L<Plack::Middleware> has them.

=head2 gateway

The L<Plack::App::LogMeIn> that decides.

=head1 SEE ALSO

L<Plack::App::LogMeIn>, L<Cpanel::LogMeIn>, L<Plack::Middleware>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut
